"""The APIs of other config servers, over the same services.

One that is added here needs its name in ``settings.DIALECTS`` as well: settings are read, and
checked, before anything of Flask is loaded.
"""

from distributed_config.dialects import tartarus, unified

DIALECTS = (tartarus.DIALECT, unified.DIALECT)
