#!/usr/bin/env bash
# Ceremonies on paper: every step is on it, hashes are right, and a rehearsal says so on each page.
set -euo pipefail
ceremony=$1 scripts=$2
. "$(dirname "$0")/ceremony_common.sh"
for program in pdftotext pdfinfo; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
# What fontconfig and Pango keep until a program ends.
printf 'leak:libfontconfig\nleak:libpango\n' >"$dir/fonts"
export LSAN_OPTIONS=suppressions=$dir/fonts:print_suppressions=0
script=$scripts/initialise-and-generate.yaml

refused 2 "ends neither with .pdf nor with .html" "$ceremony" script "$script" "$dir/script.txt"
refused 1 "cannot open" "$ceremony" script "$dir/none.yaml" "$dir/script.pdf"
refused 1 "none/script.pdf" "$ceremony" script "$script" "$dir/none/script.pdf"
refused 1 "cannot open" "$ceremony" report "$dir/none" "$dir/report.pdf"

text() { # file.pdf: as one line
    pdftotext "$1" - | tr -s '\n\f ' ' '
}

"$ceremony" script "$script" "$dir/script.pdf"
"$ceremony" script "$script" "$dir/script.html"
said=$(text "$dir/script.pdf")
hash=$(sha256sum <"$script" | cut -d' ' -f1)
[[ $said == *"$hash"* ]] || wrong "the script's hash is not on it"
grep -q "$hash" "$dir/script.html" || wrong "the script's hash is not in the HTML"
[[ $said != *REHEARSAL* ]] || wrong "a script says that it is a rehearsal"
n=0
while IFS= read -r title; do
    n=$((n + 1))
    [[ $said == *"$title"* ]] || wrong "not in the PDF: $title"
    grep -qF "$title" "$dir/script.html" || wrong "not in the HTML: $title"
done < <(grep -oP '^ +(- \{id: "[0-9.]+", )?title: \K[^,]+' "$script" | grep -v '[&<>"]')
[ $n -gt 25 ] || wrong "only $n steps"

# What people type gets into no markup.
sed 's|^title: .*|title: "<b>\&A</b>"|' "$script" >"$dir/odd.yaml"
"$ceremony" script "$dir/odd.yaml" "$dir/odd.html"
grep -q '<h1>&lt;b&gt;&amp;A&lt;/b&gt;</h1>' "$dir/odd.html" || wrong "a title is markup"

rehearse "$dir/run" "$(dirname "$0")/ceremony-short.yaml" >"$dir/out"
"$ceremony" report "$dir/run" "$dir/report.pdf"
said=$(text "$dir/report.pdf")
head=$(tail -n 1 "$dir/run/transcript.jsonl" | tr -d '\n' | sha256sum | cut -d' ' -f1)
[[ $said == *"$head"* ]] || wrong "the head of the record is not on it"
pages=$(pdfinfo "$dir/report.pdf" | awk '/^Pages:/ {print $2}')
for page in $(seq "$pages"); do
    pdftotext -raw -f "$page" -l "$page" "$dir/report.pdf" - | tr -d '\n ' | grep -q REHEARSAL ||
        wrong "page $page of $pages does not say that it is a rehearsal"
done
[[ $said == *"page $pages of $pages"* ]] || wrong "the pages are not counted"
"$ceremony" report "$dir/run" "$dir/report.html"
grep -q "<td>this computer's generator, by way of SoftHSM</td>" "$dir/report.html" || wrong "no word on random numbers"
grep -q "<td>canary-1</td>.*<td>none: destroyed</td>" <(tr -d '\n' <"$dir/report.html") || wrong "the keys are not listed"
for value in $(jq -r 'select(.type == "kcv") | .value' "$dir/run/transcript.jsonl" | sort -u); do
    [[ $(tr -d ' ' <<<"$said") == *"$value"* ]] || wrong "the check value $value is not on it"
done
echo "$n steps, $pages pages of a record"
