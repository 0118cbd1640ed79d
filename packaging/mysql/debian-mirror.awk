# Reads apt's sources (one-line and deb822 formats) and prints "URI keyring trusted" of the Debian archive
# that the machine uses; nothing if there is none. Knows nothing of what is fetched from it.
# -v codename=bookworm: the machine's release.

function release(suite) {
  sub(/\/$/, "", suite)
  return suite == codename || suite ~ /^(stable|testing|unstable|sid|bookworm|trixie|forky|duke)$/
}

# Debian's own keyring is required where the machine requires it; another one names another archive.
function offer(types, uri, suites, components, keyring, trusted,   n, i, parts, found) {
  if (types !~ /(^| )deb( |$)/ || components !~ /(^| )main( |$)/ || uri == "") return
  n = split(suites, parts, " ")
  for (i = 1; i <= n; i++) if (release(parts[i])) found = 1
  if (!found) return
  if (keyring !~ /^\//) keyring = "-"
  if (uri ~ /\/debian\/?$/ || uri ~ /^mirror.*debian/) { if (best == "") best = uri " " keyring " " trusted }
  else if (other == "" && keyring ~ /^-$|debian-archive/) other = uri " " keyring " " trusted
}

function end_stanza(   uris) {
  if (tolower(field["enabled"]) != "no") {
    split(field["uris"], uris, " ")
    offer(field["types"], uris[1], field["suites"], field["components"], field["signed-by"],
          tolower(field["trusted"]) == "yes" ? "yes" : "no")
  }
  split("", field)
  name = ""
}

FNR == 1 { end_stanza(); deb822 = FILENAME ~ /\.sources$/ }
{ sub(/\r$/, "") }
/^[ \t]*#/ { next }

deb822 && /^[ \t]*$/ { end_stanza(); next }
deb822 && /^[ \t]/ { sub(/^[ \t]+/, ""); field[name] = field[name] " " $0; next }
deb822 {
  name = tolower(substr($0, 1, index($0, ":") - 1))
  value = substr($0, index($0, ":") + 1)
  gsub(/^[ \t]+|[ \t]+$/, "", value)
  field[name] = value
  next
}

$1 == "deb" {
  sub(/[ \t]#.*/, "")
  keyring = ""; trusted = "no"
  if (match($0, /\[[^]]*\]/)) {
    options = substr($0, RSTART + 1, RLENGTH - 2)
    $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + RLENGTH)
    n = split(options, option, " ")
    for (i = 1; i <= n; i++) {
      if (option[i] ~ /^signed-by=/) keyring = substr(option[i], 11)
      if (tolower(option[i]) == "trusted=yes") trusted = "yes"
    }
  }
  components = ""
  for (i = 4; i <= NF; i++) components = components " " $i
  offer("deb", $2, $3, components, keyring, trusted)
}
END { end_stanza(); print best != "" ? best : other }
