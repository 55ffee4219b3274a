#!/bin/sh
# Mails an alert when this node changes its role.  Called by keepalived-py (or keepalived) as
#   notify.sh master|backup|fault
# from notify_master, notify_backup, notify_fault; install it as /etc/keepalived/notify.sh, owned by root.
# The mail goes out through `mail` or `sendmail`, whichever is there; without either the alert is written
# to the system log, so that it is not lost.  CONTACT in the environment overrides the recipient.
set -u

contact=${CONTACT:-root@localhost}

case "${1:-}" in
master | backup | fault) role=$1 ;;
*)
    printf 'Usage: %s master|backup|fault\n' "${0##*/}" >&2
    exit 1
    ;;
esac

host=$(uname -n)
subject="$host is now $role, the virtual address moves"
body="$(date '+%F %T'): VRRP transition, $host changed to $role"

if command -v mail >/dev/null 2>&1; then
    printf '%s\n' "$body" | mail -s "$subject" -- "$contact"
elif command -v sendmail >/dev/null 2>&1 || [ -x /usr/sbin/sendmail ]; then
    PATH=$PATH:/usr/sbin
    printf 'To: %s\nSubject: %s\n\n%s\n' "$contact" "$subject" "$body" | sendmail -t
else
    logger -t keepalived-notify -- "$subject ($body)"
fi
