"""What the checks of a configuration need besides the network."""

from keepalived_py.model.checks import FileCheck
from keepalived_py.model.config import Configuration
from keepalived_py.system.file_watch import paths_of


def tracked_by_servers(configuration: Configuration) -> dict[str, str]:
    """The path of every file that the weight of some real server depends on, by name."""
    names = {check.track_file for check in configuration.server_checks() if isinstance(check, FileCheck)}
    return paths_of(configuration, names)
