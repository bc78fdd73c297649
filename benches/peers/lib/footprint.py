"""What a minimal echo server brings: crates, a clean build, bytes. The sources are in `footprint`."""

import os
import resource
import shutil
import subprocess

from programs import HERE, OUT

SERVERS = ["mio", "loopline", "tokio", "smol", "monoio", "calloop", "compio", "glommio"]


def measure():
    for name in SERVERS:
        source = os.path.join(HERE, "footprint", name)
        if not os.path.isdir(source):
            continue
        target = os.path.join(OUT, f"footprint-{name}")
        shutil.rmtree(target, ignore_errors=True)
        manifest = ["--manifest-path", os.path.join(source, "Cargo.toml")]
        tree = subprocess.run(
            ["cargo", "tree", *manifest, "-e", "normal", "--prefix", "none"],
            check=True, capture_output=True, text=True,
        ).stdout
        crates = {line.split()[0] for line in tree.splitlines() if line}
        crates = {crate for crate in crates if not crate.startswith("echo-") and not crate.startswith("loopline")}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        build = ["cargo", "build", "--release", "--quiet", *manifest, "--target-dir", target]
        if subprocess.run(build).returncode != 0:
            continue  # it said why
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        program = os.path.join(target, "release", f"echo-{name}")
        yield name, [len(crates), round(seconds, 2), os.path.getsize(program) // 1024]
        shutil.rmtree(target, ignore_errors=True)
