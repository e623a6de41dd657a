#!/bin/sh
# Prints NAME(x) for every CKR_, CKM_ and CKA_ constant of p11-kit's pkcs11.h. Arguments: the
# compiler and its flags.
set -eu
echo '#include <p11-kit/pkcs11.h>' | "$@" -E -dM - |
    sed -nE 's/^#define (CK[ARM]_[A-Z0-9_]+) .*/NAME(\1)/p' | sort
