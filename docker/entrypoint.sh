#!/bin/sh
# head | worker | any command of scalaw. A node starts with the cluster's token or not at all.
set -eu

: "${RAY_AUTH_TOKEN_PATH:=/run/secrets/ray_token}"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH

need_token() {
    if [ ! -r "$RAY_AUTH_TOKEN_PATH" ] || [ "$(tr -d '[:space:]' <"$RAY_AUTH_TOKEN_PATH" | wc -c)" -lt 32 ]; then
        echo "entrypoint: $RAY_AUTH_TOKEN_PATH must hold the cluster's token, at least 32 characters: openssl rand -hex 32" >&2
        exit 2
    fi
}

role=${1:-help}
[ $# -eq 0 ] || shift

case $role in
head)
    need_token
    if [ "${RAY_PORT:-6379}" -ge 10002 ] && [ "${RAY_PORT:-6379}" -le 19999 ]; then
        echo "entrypoint: RAY_PORT $RAY_PORT lies among the ports of Ray's workers, 10002 to 19999: choose another" >&2
        exit 2
    fi
    exec ray start --head --block --disable-usage-stats \
        --port="${RAY_PORT:-6379}" \
        --dashboard-host="${RAY_DASHBOARD_HOST:-127.0.0.1}" \
        --dashboard-port="${RAY_DASHBOARD_PORT:-8265}" \
        --dashboard-agent-listen-port="${RAY_AGENT_PORT:-52365}" \
        --metrics-export-port="${RAY_METRICS_PORT:-8080}" "$@"
    ;;
worker)
    need_token
    exec ray start --block --disable-usage-stats \
        --address="${RAY_HEAD:?name the head, HOST:6379}" \
        --dashboard-agent-listen-port="${RAY_AGENT_PORT:-52365}" \
        --metrics-export-port="${RAY_METRICS_PORT:-8080}" "$@"
    ;;
help)
    exec scalaw --help
    ;;
*)
    exec scalaw "$role" "$@"
    ;;
esac
