#!/bin/sh
# Reads the pipe of vrrp_notify_fifo.  Called as: reader.sh PIPE
# Each line: INSTANCE|GROUP "NAME" STATE PRIORITY
# Beside the states MASTER, BACKUP, FAULT and STOP there are MASTER_PRIORITY, BACKUP_PRIORITY and MASTER_RX_LOWER_PRI.
# The last lines, STOP, come before the end of the pipe, and that before SIGTERM: what is read is never lost.
while read -r kind name state priority; do
    logger -t vrrp-state "$kind $name is $state with priority $priority"
done <"$1"
