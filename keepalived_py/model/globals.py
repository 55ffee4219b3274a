"""What `global_defs` and the top level say about the whole program."""

from keepalived_py.base.clock import Micros
from keepalived_py.base.record import Record


class Globals(Record):
    """What `global_defs` and the top level say about the whole program."""

    router_id: str = ""
    script_security: bool = False
    dynamic_interfaces: bool = False
    startup_delay_us: Micros = Micros(0)
    log_unknown_vrids: bool = False
    use_pid_dir: bool = False
    instance: str | None = None
    net_namespace: str | None = None
    umask: int = 0o177
    rt_priority: int = 0
    nice: int = 0
    no_swap: bool = False
