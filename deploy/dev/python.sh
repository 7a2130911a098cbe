#!/usr/bin/env bash
# A Python with the package that the README's example of a subscriber needs.
#
#   python.sh install    a virtual environment in $APIWARDEN_DEV_DIR/python (default: .dev in the repository)
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

package=confluent-kafka==2.16.1

install_python() {
  local python="$dev/python/bin/python3"
  "$python" -c 'import confluent_kafka' 2>/dev/null && return 0
  need python3 "the README's subscriber in Python is run by it (install Python 3 with venv)"
  say "installing $package into $dev/python"
  rm -rf "$dev/python"
  python3 -m venv "$dev/python"
  "$python" -m pip install --quiet --disable-pip-version-check "$package" >&2
}

case ${1:-} in
  install) locked python install_python ;;
  *) die "usage: python.sh install" ;;
esac
