"""The environments of the clients that are not in the tests' own: one folder a client below runs/clients.

    python tests/clients/setup.py        # prints the names of all clients that can run, for PONDER_CLIENTS

What is installed already stays; what was interrupted goes on. A client that cannot be installed here is named on
stderr with the reason, and left out.
"""

import shutil
import subprocess
import sys
import venv

from roster import AGENTS, CLIENTS, Client


def install(client: Client) -> None:
    client.home.mkdir(parents=True, exist_ok=True)
    if client.node:
        if shutil.which("npm") is None:
            raise OSError("node 18 or newer with npm is missing: apt-get install nodejs npm")
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(client.home)]
    else:
        venv.create(client.home, with_pip=True)
        command = [str(client.home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *client.packages], check=True, stdout=sys.stderr)
    (client.home / "installed").write_text("\n".join(client.packages))


def main() -> None:
    names = []
    for client in (*CLIENTS.values(), *AGENTS.values()):
        try:
            if not client.ready:
                print(f"Installing {client.name} into {client.home} ...", file=sys.stderr)
                install(client)
            if client.name in CLIENTS:
                names.append(client.name)
        except (OSError, subprocess.CalledProcessError) as e:
            print(f"{client.name} is left out: {e}", file=sys.stderr)
    print(",".join(names))


if __name__ == "__main__":
    main()
