"""What is configured, what happens, what shall be done: plain frozen values.

Front ends (keepalived.conf, YAML) produce `config` values; the shells produce
`events`; the core answers with `effects`.  Nothing here does anything.
"""
