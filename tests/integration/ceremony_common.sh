# Sourced by the tests of ceremonies. Expects $ceremony.
dir=$(mktemp -d "${TMPDIR:-/tmp}/tbs-test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
softhsm=/usr/lib/softhsm/libsofthsm2.so

wrong() {
    echo "wrong: $*" >&2
    exit 1
}

refused() { # status, words in the message, command...
    local status=0 said
    said=$("${@:3}" 2>&1) || status=$?
    [ $status = "$1" ] || wrong "status $status instead of $1 of: ${*:3}: $(tail -n 3 <<<"$said")"
    [[ $said == *"$2"* ]] || wrong "no '$2' in: $(tail -n 3 <<<"$said")"
}

rehearse() { # folder, script, options...
    "$ceremony" run --rehearse --answers auto --script "$2" "${@:3}" "$1"
}

chain() { # folder: each line of the transcript names the one before
    local prev=0000000000000000000000000000000000000000000000000000000000000000 line n=0
    while IFS= read -r line; do
        n=$((n + 1))
        [ "$(jq -r .prev <<<"$line")" = $prev ] || wrong "line $n of the transcript breaks the chain"
        prev=$(printf %s "$line" | sha256sum | cut -d' ' -f1)
    done <"$1/transcript.jsonl"
    [ $n -gt 10 ] || wrong "the transcript has $n lines"
}

key_file() { # folder, SHA-256 of the public key: the file
    local file
    for file in "$1"/keys/*.pem "$first"/keys/*.pem; do
        if [ "$(openssl pkey -pubin -in "$file" -outform DER | sha256sum | cut -d' ' -f1)" = "$2" ]; then
            echo "$file"
            return
        fi
    done
    wrong "nobody has the key $2"
}

verify() { # folder, key, signature in base64; what was signed is in $dir/signed
    base64 -d <<<"$3" >"$dir/signature"
    openssl dgst -sha256 -verify "$(key_file "$1" "$2")" -signature "$dir/signature" \
        "$dir/signed" >/dev/null || wrong "openssl refuses a signature of $2"
}

signatures() { # file of signed lines, folder, how many
    local line n=0
    head -n 1 "$1" | tr -d '\n' >"$dir/signed"
    while IFS= read -r line; do
        n=$((n + 1))
        verify "$2" "$(jq -r .key <<<"$line")" "$(jq -r .signature <<<"$line")"
    done < <(tail -n +2 "$1")
    [ $n = "$3" ] || wrong "$1 has $n signatures instead of $3"
}

checkpoints() { # folder, how many
    local line n=0
    while IFS= read -r line; do
        n=$((n + 1))
        printf 'tbs-kms ceremony 1 %s %s' "$(jq -r .covers <<<"$line")" "$(jq -r .head <<<"$line")" >"$dir/signed"
        verify "$1" "$(jq -r .key <<<"$line")" "$(jq -r .signature <<<"$line")"
    done < <(jq -c 'select(.type == "checkpoint")' "$1/transcript.jsonl")
    [ $n = "$2" ] || wrong "$n checkpoints instead of $2"
}
