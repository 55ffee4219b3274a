#!/bin/sh
# Called as: notify.sh NODE INSTANCE|GROUP NAME STATE PRIORITY
# The first word comes from the configuration, the others are added by the daemon.
# `make run` follows the file written here and shows each line in its timeline.
printf '%s\n' "$*" >>"$(dirname "$0")/notify.log"
