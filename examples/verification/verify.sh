#!/bin/sh
# Verify a Juniper webhook with a shell and openssl: for looking into a delivery by hand, not for a receiver (the
# secret is an argument of openssl, which other users of the machine can see).
# sh verify.sh HEADER SECRET [NOW] < body
header=$1 secret=$2 now=${3:-$(date +%s)}
body=$(mktemp)
trap 'rm -f "$body"' EXIT
cat > "$body"

times=$(printf '%s' "$header" | tr ',' '\n' | sed -n 's/^t=//p')
case $times in '' | *[!0-9]*) exit 1 ;; esac
age=$((now - times))
[ "${age#-}" -le 300 ] || exit 1

expected=$({ printf '%s.' "$times"; cat "$body"; } | openssl dgst -sha256 -hmac "$secret" -r | cut -d' ' -f1)
printf '%s' "$header" | tr ',' '\n' | sed -n 's/^v1=//p' | grep -qxF "$expected"
