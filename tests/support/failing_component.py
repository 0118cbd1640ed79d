"""A component that does not start: INSTALL COMPONENT of it, and of others with it, is undone by the server.

Knows the component interface alone; asserts nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.checkout import ROOT

_SOURCE = """
#include <stddef.h>
#include "mysql_abi.h"
static int init(void) { return 1; }
static int deinit(void) { return 0; }
struct mysql_component_t *list_components(void) {
  static const struct mysql_service_ref_t provides[] = {{.name = NULL}};
  static struct mysql_service_placeholder_ref_t needs[] = {{.name = NULL}};
  static const struct mysql_metadata_ref_t metadata[] = {{.key = NULL}};
  static struct mysql_component_t component = {.name = "failing", .provides = provides, .requires = needs,
                                               .metadata = metadata, .init = init, .deinit = deinit};
  return &component;
}
"""


def make_failing_component(plugin_dir: Path) -> str:
    """Puts it into plugin_dir; its name for INSTALL COMPONENT."""
    source = plugin_dir / "failing.c"
    source.write_text(_SOURCE)
    flags = ["-shared", "-fPIC", f"-I{ROOT / 'udf'}"]
    subprocess.run(["cc", *flags, "-o", plugin_dir / "failing.so", source], check=True)
    return "file://failing"
