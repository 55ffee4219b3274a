"""keep-vip's YAML: a second way to write a configuration.

The same model and the same kind of diagnostics as for keepalived.conf, each
with line and column.  The YAML library is used in here and nowhere else, and
imported only when such a file is read.
"""
