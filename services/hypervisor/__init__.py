"""The hypervisor service: the only one that knows XenAPI.

- ``domain`` what is true of pools, VMs, backup sources and restore targets
- ``ports`` what is needed from a pool and from storage; the docstrings are law
- ``app`` what can be done; every step of it may be the last one before a crash
- ``adapters`` XenAPI (``xapi_*``), SQL (``sql_*``), sealed secrets, and the fake pool the tests share
- ``api``, ``wire``, ``consumers`` the edges
"""
