#!/bin/sh
# Fetch the page's libraries from npm into api/web/studio/vendor, with their licences: `sh tools/vendor.sh`.
#
# Browsers resolve a bare name such as "preact" by an import map only, which would be an inline script. So the imports
# of one library by another are made relative; nothing else is changed.
set -eu
cd "$(dirname "$0")/.."
TARGET=api/web/studio/vendor
TESTS=tests/support/vendor
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

fetch() { # name@version, file in the package, name here
    folder="$WORK/$(printf %s "$1" | tr -c 'a-z0-9' '-')"
    if [ ! -d "$folder" ]; then
        mkdir -p "$folder"
        (cd "$folder" && npm pack --silent "$1" >/dev/null && tar xzf ./*.tgz)
    fi
    sed -e '/^\/\/# sourceMappingURL/d' \
        -e 's#from"preact/hooks"#from"./hooks.js"#g' \
        -e 's#from"preact"#from"./preact.js"#g' \
        -e 's#from"@preact/signals-core"#from"./signals-core.js"#g' \
        "$folder/package/$2" >"$3"
}

mkdir -p $TARGET $TESTS
fetch preact@11.2.0 dist/preact.mjs $TARGET/preact.js
fetch preact@11.2.0 hooks/dist/hooks.mjs $TARGET/hooks.js
fetch preact@11.2.0 LICENSE $TARGET/preact.LICENSE
fetch htm@3.1.1 dist/htm.mjs $TARGET/htm.js
fetch htm@3.1.1 LICENSE $TARGET/htm.LICENSE
fetch @preact/signals-core@1.14.5 dist/signals-core.mjs $TARGET/signals-core.js
fetch @preact/signals@2.11.4 dist/signals.mjs $TARGET/signals.js
fetch @preact/signals@2.11.4 LICENSE $TARGET/signals.LICENSE
fetch uplot@1.6.32 dist/uPlot.esm.js $TARGET/uplot.js
fetch uplot@1.6.32 dist/uPlot.min.css $TARGET/uplot.css
fetch uplot@1.6.32 LICENSE $TARGET/uplot.LICENSE
fetch axe-core@4.14.1 axe.min.js $TESTS/axe.min.js
fetch axe-core@4.14.1 LICENSE $TESTS/axe.LICENSE
