#!/bin/sh
# Make vectors.json: what a verifier must accept and refuse. Every signature is computed by openssl.
set -eu
secret=5f0c2f8a4f3f4fd2b6a1c0e7d4b39a8876e5d4c3b2a1908f7e6d5c4b3a291807
other=0000000000000000000000000000000000000000000000000000000000000001
at=1763899200
order='{"order":{"orderId":"2vSGym0bH8qVEwCIGlyFoRgJq1A","status":"SHIPPED","createdAt":"2023-10-01T12:00:00Z","updatedAt":"2023-10-05T14:30:00Z"}}'

sign() { printf '%s.%s' "$1" "$2" | openssl dgst -sha256 -hmac "$3" -r | cut -d' ' -f1; }
quote() { printf '%s' "$1" | perl -0777 -pe 's/([\\"])/\\$1/g; s/\n/\\n/g; $_ = "\"$_\""'; }
first=1
vector() { # name, body, header, valid
  [ "$first" = 1 ] || printf ',\n'
  first=0
  printf '    {"name": "%s", "body": %s, "header": %s, "valid": %s}' "$1" "$(quote "$2")" "$(quote "$3")" "$4"
}

v1=$(sign $at "$order" $secret)
printf '{\n  "secret": "%s",\n  "now": %s,\n  "vectors": [\n' $secret $at
vector good "$order" "t=$at,v1=$v1" true
vector good-in-another-order "$order" "v1=$v1,t=$at" true
vector good-beside-an-unknown-scheme "$order" "t=$at,v0=00,v1=$v1" true
vector second-signature-fits "$order" "t=$at,v1=$(sign $at "$order" $other),v1=$v1" true
letters='{"order":{"note":"Zoë, 東京, €"}}'
vector letters-beyond-ascii "$letters" "t=$at,v1=$(sign $at "$letters" $secret)" true
spaced="$(printf '{ "order" : 1 }\n\n.')"
spaced="${spaced%.}"
spacedv1=$({ printf '%s.' $at; printf '{ "order" : 1 }\n\n'; } | openssl dgst -sha256 -hmac $secret -r | cut -d' ' -f1)
vector bytes-as-they-come "$spaced" "t=$at,v1=$spacedv1" true
vector empty-body "" "t=$at,v1=$(sign $at "" $secret)" true
soon=$((at - 300))
vector five-minutes-old "$order" "t=$soon,v1=$(sign $soon "$order" $secret)" true
old=$((at - 301))
vector too-old "$order" "t=$old,v1=$(sign $old "$order" $secret)" false
ahead=$((at + 301))
vector from-the-future "$order" "t=$ahead,v1=$(sign $ahead "$order" $secret)" false
vector another-secret "$order" "t=$at,v1=$(sign $at "$order" $other)" false
vector another-body "$order " "t=$at,v1=$v1" false
vector another-time "$order" "t=$((at + 1)),v1=$v1" false
vector body-signed-without-time "$order" "t=$at,v1=$(printf '%s' "$order" | openssl dgst -sha256 -hmac $secret -r | cut -d' ' -f1)" false
vector cut-short "$order" "t=$at,v1=$(printf '%s' "$v1" | cut -c1-63)" false
vector one-digit-more "$order" "t=$at,v1=${v1}0" false
vector another-scheme-only "$order" "t=$at,v0=$v1" false
vector no-time "$order" "v1=$v1" false
vector time-is-no-number "$order" "t=now,v1=$v1" false
vector two-times "$order" "t=$at,t=$at,v1=$v1" false
vector no-signature "$order" "t=$at" false
vector empty-signature "$order" "t=$at,v1=" false
vector empty-header "$order" "" false
vector no-header-at-all "$order" "nonsense" false
printf '\n  ]\n}\n'
