"""Variables that choose what programs run, load or trust: a configuration sets none of them.

The right to publish a configuration is not the right to run programs where it is read. The names
are those that sudo and the GNU C library drop for the same reason, and their relatives of today.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from distributed_config.errors import Problem, Rejected
from distributed_config.formats.env import variables

# A reason, and the names that it holds for; * stands for any ending.
PROTECTED = (
    (
        "where programs, libraries and their data are looked up",
        "PATH LD_* _RLD* DYLD_* LIBPATH SHLIB_PATH GCONV_PATH GETCONF_DIR GLIBC_TUNABLES MALLOC_* "
        "LOCPATH NLSPATH PATH_LOCALE TZDIR TERMINFO TERMINFO_DIRS TERMPATH TERMCAP",
    ),
    (
        "what a shell runs or how it splits words",
        "SHELL ENV BASH_* BASHOPTS SHELLOPTS IFS CDPATH GLOBIGNORE PROMPT_COMMAND PS0 PS1 PS2 PS3 "
        "PS4 ZDOTDIR FPATH NULLCMD READNULLCMD TMPPREFIX",
    ),
    (
        "what an interpreter or a virtual machine loads",
        "PYTHON* PERL* RUBY* GEM_HOME GEM_PATH BUNDLE_GEMFILE BUNDLE_PATH NODE_OPTIONS NODE_PATH "
        "NODE_REPL_EXTERNAL_MODULE ELECTRON_RUN_AS_NODE BUN_OPTIONS DENO_* PHPRC PHP_INI_SCAN_DIR "
        "JAVA_HOME JAVA_OPTS JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS CLASSPATH "
        "CATALINA_OPTS MAVEN_OPTS GRADLE_OPTS JAVA_OPTIONS DOTNET_* COMPLUS_* MONO_* LUA_* ERL_* "
        "ELIXIR_ERL_OPTIONS JULIA_* GUILE_* TCLLIBPATH R_HOME R_LIBS R_LIBS_USER R_PROFILE "
        "R_PROFILE_USER R_ENVIRON R_ENVIRON_USER EMACSLOADPATH VIMINIT EXINIT",
    ),
    (
        "what a debugger, a profiler or a sanitizer does",
        "COR_* CORECLR_* ASAN_* LSAN_* MSAN_* TSAN_* UBSAN_* VALGRIND_* GODEBUG FLASK_DEBUG "
        "WERKZEUG_*",
    ),
    (
        "what a server or a build loads",
        "GUNICORN_CMD_ARGS UWSGI_* FLASK_APP DJANGO_SETTINGS_MODULE CELERY_CONFIG_MODULE MAKEFLAGS "
        "GNUMAKEFLAGS MAKEFILES GCC_EXEC_PREFIX COMPILER_PATH GOFLAGS RUSTC_WRAPPER PIP_* UV_* "
        "NPM_CONFIG_*",
    ),
    (
        "which program is started for editing, paging, asking or fetching",
        "EDITOR VISUAL PAGER BROWSER MANPAGER SYSTEMD_PAGER SYSTEMD_EDITOR PSQL_PAGER PSQL_EDITOR "
        "PSQLRC LESSOPEN LESSCLOSE LESSKEY LESSKEYIN GIT_* HGRCPATH HGEDITOR SVN_SSH CVS_RSH "
        "RSYNC_RSH SSH_* SUDO_*",
    ),
    (
        "which plug-ins are loaded",
        "GIO_* GTK_* GDK_* GST_* QT_* QML_* QML2_* VK_ICD_FILENAMES VK_DRIVER_FILES VK_LAYER_PATH "
        "VK_INSTANCE_LAYERS LIBGL_DRIVERS_PATH",
    ),
    (
        "whom a program trusts, and through whom it speaks",
        "OPENSSL_* SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE "
        "CURL_HOME AWS_CA_BUNDLE NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED GNUTLS_* KRB5* "
        "NETRC HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY HOSTALIASES LOCALDOMAIN "
        "RES_OPTIONS RESOLV_HOST_CONF NIS_PATH DOCKER_HOST DOCKER_CONFIG KUBECONFIG DISTCONF_*",
    ),
    (
        "where a program finds its user's settings, or puts its temporary files",
        "HOME XDG_* TMPDIR TMP TEMP",
    ),
)

_PATTERNS = tuple(
    (reason, re.compile("|".join(names.replace("*", ".*").split()), re.IGNORECASE))
    for reason, names in PROTECTED
)


def environment(
    document: Mapping[str, Any], prefix: str = "", allowed: Iterable[str] = ()
) -> dict[str, str]:
    """Return ``document`` as variables for a program; protected ones only if they are ``allowed``.

    Raises NotRepresentable for values that no variable can hold, and Rejected with every protected
    variable.
    """
    result = variables(document, prefix)
    # Some programs read a variable in either case, as http_proxy and HTTP_PROXY.
    exceptions = {name.upper() for name in allowed}
    problems = [
        Problem("", f"It chooses {reason}.", "protected", name)
        for name in result
        if name.upper() not in exceptions and (reason := reason_for(name))
    ]
    if problems:
        names = ", ".join(problem.parameter for problem in problems)
        raise Rejected(
            f"A configuration does not choose what programs run or trust: {names}. Rename the "
            "keys, give a prefix, or allow each by its name (--allow-env; in a plan, allow_env).",
            problems,
        )
    return result


def reason_for(name: str) -> str:
    """Return what the variable ``name`` chooses, in any case of letters; "" if it is harmless."""
    return next((reason for reason, names in _PATTERNS if names.fullmatch(name)), "")
