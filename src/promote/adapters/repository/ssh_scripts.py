"""What runs on the other host: small POSIX shell scripts, for ``sh -eu``, which find what they work on as ``$1`` and so on.

They need GNU coreutils and findutils, and ``flock``. Not here: when which one runs (``ssh``).
"""

MISSING, CHANGED, ODD, WRONG = 44, 45, 46, 47
# $1 limit, $2 root, $3 state of the model, $4 the model in the root. Says "nPATH" and the bytes by base64 of each note, "cPATH"
# and the bytes of the config, "sSIZE PATH" of each file, "oPATH" of what is neither file nor folder, each ended by NUL.
GLANCE = f"""[ -d "$2" ] || exit {MISSING}
limit=$1
say() {{
  [ -f "$2" ] && [ ! -L "$2" ] || return 0
  printf '%s%s\\0' "$1" "$2"; head -c "$limit" -- "$2" | base64 -w0; printf '\\0'
}}
if [ -d "$3" ]; then
  cd -- "$3"
  say n record.jsonl; say n told
  for one in */placed.json; do for part in placed.json manifest.json config.pbtxt; do say n "${{one%/*}}/$part"; done; done
fi
[ -d "$4" ] || exit 0
cd -- "$4"
say c config.pbtxt
find . -type f -printf 's%s %P\\0' -o ! -type d -printf 'o%P\\0'"""
READ_ALL = """limit=$1; shift
for one in "$@"; do
  if [ -f "$one" ] && [ ! -L "$one" ]; then printf n; head -c "$limit" -- "$one" | base64 -w0; fi
  printf '\\0'
done"""
READ = f'[ -f "$1" ] && [ ! -L "$1" ] || exit {MISSING}; head -c "$2" -- "$1"'
# stdin goes to a private file; its digest tells a stream that was cut. $1 goal, $2 staging, $3 owner, $4 digest, $5 the
# digest of the file it may replace ("" any, "-" none).
WRITE = f"""umask 022
mkdir -p -- "${{1%/*}}" "$2" "$2/../locks"
t=$(mktemp -- "$2/$3@write-XXXXXXXX"); trap 'rm -f -- "$t"' EXIT
cat > "$t"
s=$(sha256sum < "$t"); [ "${{s%% *}}" = "$4" ] || exit {WRONG}
chmod 644 -- "$t"; sync -- "$t"
exec 9> "$2/../locks/write"; flock -w 30 9
case "$5" in
  "") ;;
  -) [ ! -e "$1" ] || exit {CHANGED} ;;
  *) [ -f "$1" ] || exit {CHANGED}; s=$(sha256sum < "$1"); [ "${{s%% *}}" = "$5" ] || exit {CHANGED} ;;
esac
mv -T -- "$t" "$1"; sync -- "${{1%/*}}\""""
SIZES = f"""[ -d "$1" ] || exit 0
cd -- "$1"
[ -z "$(find . ! -type f ! -type d -print -quit)" ] || exit {ODD}
find . -type f -printf '%s %P\\0'"""
FOLDERS = """[ -d "$1" ] || exit 0; find "$1" -mindepth 1 -maxdepth 1 -type d -printf '%f\\0'"""
DIGESTS = """cd -- "$1"; find . -type f -printf '%P\\0' | xargs -0r sha256sum -z --"""
# $1 blobs, $2 staging, $3 root; stdin: lines "HEX SIZE". Says of each that is not there whole how much of it is.
WANTED = """umask 022
mkdir -p -- "$1" "$2" "$2/../locks"
[ "$(stat -c %d -- "$2")" = "$(stat -c %d -- "$3")" ] || exit 46
find "$1" -name '*.part' -mtime +7 -delete
while read -r hex size; do
  [ "$(stat -c %s -- "$1/$hex" 2> /dev/null || echo -)" = "$size" ] && continue
  echo "$hex $(stat -c %s -- "$1/$hex.part" 2> /dev/null || echo 0)"
done"""
# $1 blobs, $2 HEX, $3 where stdin goes on.
SEND = f"""umask 022
p="$1/$2.part"; touch -- "$p"; truncate -s "$3" -- "$p"
cat >> "$p"
s=$(sha256sum < "$p"); [ "${{s%% *}}" = "$2" ] || exit {WRONG}
sync -- "$p"; mv -T -- "$p" "$1/$2\""""
# $1 blobs, $2 staging, $3 owner, $4 goal; stdin: lines "HEX PATH".
BUILD = f"""umask 022
d=$(mktemp -d -- "$2/$3@place-XXXXXXXX"); mkdir "$d/v"
while IFS= read -r line; do
  hex=${{line%% *}}; path=${{line#* }}
  case "$path" in */*) mkdir -p -- "$d/v/${{path%/*}}" ;; esac
  s=$(sha256sum < "$1/$hex"); [ "${{s%% *}}" = "$hex" ] || {{ rm -f -- "$1/$hex"; exit {WRONG}; }}
  ln -T -- "$1/$hex" "$d/v/$path"
done
find "$d/v" -type d -exec chmod 755 {{}} + -exec sync {{}} +
mkdir -p -- "${{4%/*}}"
[ ! -e "$4" ] || mv -T -- "$4" "$d/former"
mv -T -- "$d/v" "$4"; sync -- "${{4%/*}}"
rm -rf -- "$d\""""
# $1 what, $2 staging, $3 owner, $4 blobs: what no version uses for a day goes too.
DROP = """umask 022
[ -e "$1" ] || [ -L "$1" ] || exit 0
mkdir -p -- "$2"; d=$(mktemp -d -- "$2/$3@gone-XXXXXXXX"); mv -T -- "$1" "$d/x"; sync -- "${1%/*}"; rm -rf -- "$d"
[ ! -d "$4" ] || find "$4" -type f -links 1 -mmin +1440 ! -name '*.part' -delete"""
SWEEP = """[ ! -d "$1" ] || find "$1" -mindepth 1 -maxdepth 1 -name "$2@*" -exec rm -rf -- {} +"""
