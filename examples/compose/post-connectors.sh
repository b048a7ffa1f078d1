#!/bin/sh
# POSTs connector files through the gateway at $GATEWAY, as they are. A connector that exists already is left as it is, so that
# the system can be brought up again on the data that it has.
set -eu
for file in "$@"; do
    reply=$(curl -sS --retry 30 --retry-all-errors --retry-delay 1 -H 'Content-Type: application/json' \
        --data-binary "@$file" -w '\n%{http_code}' "$GATEWAY/connectors")
    echo "$file: $reply"
    case "$reply" in
        *201) ;;
        *"already exists"*409) ;;
        *) echo "$file was refused" >&2; exit 1 ;;
    esac
done
