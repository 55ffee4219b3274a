"""The program `keepalived-py`: reads the command line and does what it asks for."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence

from keepalived_py.cli.options import Action, Options, parse

EXIT_BAD_OPTION = 1
EXIT_PERMISSION = 4
EXIT_BROKEN_PIPE = 128 + 13  # as of a program that SIGPIPE has ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with `arguments` (default: the process's own); returns the exit code."""
    try:
        code = _main(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    return code


def _main(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0][:1] != "-":
        from keepalived_py.cli import commands

        if commands.is_command(words):
            return commands.run(words)
    parsed = parse(words)
    if parsed.options.action is Action.CHECK and parsed.options.facility_complaint:
        print(parsed.options.facility_complaint, file=sys.stderr)
    for line in parsed.errors:
        print(line, file=sys.stderr)
    if parsed.unexpected:
        print("Unexpected argument(s):", *parsed.unexpected, file=sys.stderr)
    if parsed.options.action is Action.GENHASH:
        from keepalived_py.cli import genhash_command

        behind = _behind_genhash(words)
        # keepalived shows its list and fails when it is asked for help.
        return genhash_command.run([] if {"-h", "--help"}.intersection(behind) else behind)
    answer = _answer(parsed.options)
    if answer is not None:
        return answer
    if parsed.failed:
        return EXIT_BAD_OPTION
    if parsed.options.action is Action.CHECK:
        if arguments is None:
            # The process is ours and ends with this check: no garbage worth collecting, and nothing to
            # take apart at the end, which costs as much as reading a large file.
            gc.disable()
        from keepalived_py.cli.check import check

        code = check(parsed.options)
        if arguments is not None:
            return code
        atexit.register(_leave, code)
        return code
    return _run(parsed.options, words)


def _behind_genhash(words: Sequence[str]) -> Sequence[str]:
    """What stands behind the option that makes the program genhash."""
    for place, word in enumerate(words):
        if word == "-T" or (len(word) > len("--") and "--genhash".startswith(word)):
            return words[place + 1 :]
    return ()


def _leave(code: int) -> None:
    """End the process at once, with what was printed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _answer(options: Options) -> int | None:
    """The exit code of an option that only asks for an answer; None if there is none such."""
    if options.action in (Action.RUN, Action.CHECK):
        return None
    from keepalived_py.cli import help as texts

    if options.action is Action.SIGNUM:
        number = texts.signal_numbers().get(options.signal_function)
        if number is None:
            print(f"Unknown sigfunc {options.signal_function}", file=sys.stderr)
            return EXIT_BAD_OPTION
        print(int(number))
        return 0
    print(texts.version_text() if options.action is Action.VERSION else texts.help_text(), file=sys.stderr)
    return 0


def _run(options: Options, words: Sequence[str]) -> int:
    from keepalived_py.base.logs import Log, LogSettings
    from keepalived_py.cli.check import load_once
    from keepalived_py.daemon import start
    from keepalived_py.daemon.kinds import KINDS

    refusal = start.missing_permission()
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return EXIT_PERMISSION
    log = Log(
        LogSettings(
            facility=options.facility,
            syslog=options.syslog,
            console=options.console and options.foreground,
            detail=options.detail,
        )
    )
    pid_files = {
        "keepalived": options.pid_file,
        "vrrp": options.vrrp_pid_file,
        "checkers": options.checkers_pid_file,
        "bfd": options.bfd_pid_file,
    }
    settings = start.RunSettings(
        command_line=("keepalived-py", *words),
        # In the background the working directory is /, and a reload reads the file again.
        path=options.file if options.foreground else os.path.abspath(options.file),
        load=lambda path: load_once(options, path),
        log=log,
        foreground=options.foreground,
        namespace=options.namespace,
        umask=options.umask,
        pid_files={name: path for name, path in pid_files.items() if path},
        respawn=options.respawn,
        all_processes=options.all_processes,
        kinds=tuple(kind for kind in KINDS if kind.name not in options.left_out),
        keep_addresses=options.keep_addresses,
        keep_services=options.keep_services,
        address_monitoring=options.address_monitoring,
        ignore_sigint=options.ignore_sigint,
        core_dump=options.core_dump,
        dump_configuration=options.dump_configuration,
        without_effect=options.without_effect,
    )
    return start.run(settings)
