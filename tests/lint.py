"""What the compiler cannot see: seams, names, dead links. Prints file:line for each fault; exit 1 when there is one."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRODUCT = ("core", "config", "adapters", "replicator", "spool", "gateway")
faults = []


def fault(path, number, what):
    faults.append(f"{path.relative_to(ROOT)}:{number}: {what}")


def sources(*folders, kinds=(".cc", ".h")):
    for folder in folders:
        yield from sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in kinds)


RULES = [
    # (pattern, what is wrong, folders, places where it is right)
    (r"\buv_[a-z_]+\s*\(|<uv\.h>", "raw libuv outside core/uv", PRODUCT, ("core/uv/",)),
    (r"(system|steady|high_resolution)_clock|\bgettimeofday\b|\bclock_gettime\b|\btime\(nullptr\)",
     "a clock outside io/clock.h", PRODUCT, ("core/uv/", "core/base/log.cc")),
    (r"<openssl/", "OpenSSL outside core/crypto", PRODUCT, ("core/crypto/",)),
    (r"<spdlog/", "spdlog outside core/base/log.cc", PRODUCT, ("core/base/log.cc",)),
    (r"<regex>", "<regex> costs seconds of compile time", PRODUCT, ()),
    (r"<iostream>", "<iostream> in the product", PRODUCT, ()),
    (r"sleep_for|\busleep\s*\(|\bsleep\s*\(", "a sleep", PRODUCT + ("tests",), ()),
    (r"\b\w*(Manager|Helper|Util|Utils)\b", "a name that says nothing", PRODUCT, ()),
    (r"TODO(?!\(#\d+\))", "TODO without an issue", PRODUCT + ("tests",), ()),
    (r"#include <(simdjson|nlohmann)", "a JSON library in a header", PRODUCT, ("core/stream/json_object.h", "core/monitor/page_json.h",
                                                         "core/server/jwt_claims.h")),
]


def main():
    for pattern, what, folders, allowed in RULES:
        expression = re.compile(pattern)
        headers_only = "header" in what
        for path in sources(*folders, kinds=(".h",) if headers_only else (".cc", ".h")):
            relative = str(path.relative_to(ROOT))
            if any(relative.startswith(place) for place in allowed):
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                code = line.split("//")[0] if "TODO" not in what else line
                if expression.search(code):
                    fault(path, number, what)
    link = re.compile(r"\[[^\]]*\]\(([^)#\s]+)")
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(p for f in PRODUCT for p in (ROOT / f).rglob("*.md"))]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for target in link.findall(line):
                if "://" not in target and not (path.parent / target).exists():
                    fault(path, number, f"dead link to {target}")
    print("\n".join(faults) if faults else "lint: seams, names and links are in order")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
