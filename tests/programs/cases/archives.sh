# Round trips through tar and the compressors.
# needs: tar gzip xz
set -eu
export LC_ALL=C TZ=UTC
mkdir -p tree/sub/empty
seq 1 60000 > tree/text; head -c 700000 /dev/urandom > tree/random; : > tree/zero-length
truncate -s 3M tree/sparse; echo end >> tree/sparse; echo '#!/bin/sh' > tree/sub/script; chmod 755 tree/sub/script; chmod 600 tree/zero-length
ln tree/text tree/hard; ln -s ../text tree/sub/soft; ln -s nowhere tree/dangling; mkfifo tree/fifo; chown 12:34 tree/random; touch -d '2001-02-03 04:05:06' tree/text
long=$(printf 'd%.0s' $(seq 1 120)); mkdir -p tree/$long/$long; echo deep > tree/$long/$long/file
list() { (cd "$1" && find . -printf '%P %y %m %U:%G %s %l\n' | sed '/ d /s/ [0-9]* $//' | sort); }
list tree > before
for format in gnu pax ustar; do
  [ $format = ustar ] && continue
  mkdir $format; tar --format=$format -cSf $format.tar tree; tar -xpf $format.tar -C $format
  list $format/tree | cmp - before && echo "$format: same attributes"
  diff -r --no-dereference -x fifo tree $format/tree && echo "$format: same contents"
  [ "$(stat -c %h $format/tree/text)" = 2 ] && echo "$format: hard link"
  stat -c '%y' $format/tree/text
  rm -r $format
done
for way in z J j; do
  [ $way = j ] && ! command -v bzip2 >/dev/null && continue
  mkdir out; tar -c${way}f packed tree; tar -tf packed | wc -l; tar -x${way}f packed -C out; list out/tree | cmp - before && echo "$way: same"; rm -r out
done
tar -cf - tree | (mkdir piped; tar -xf - -C piped); list piped/tree | cmp - before && echo "pipe: same"
tar -rf gnu.tar before; tar -tf gnu.tar | tail -n 1; tar --delete -f gnu.tar before; tar -tf gnu.tar | grep -c before || true; tar -df gnu.tar && echo "no differences"
for level in 1 9; do gzip -k -$level tree/text -c > t.gz; gzip -t t.gz; gunzip -c t.gz | cmp - tree/text && echo "gzip -$level"; done
rm t.gz; cp tree/text t; gzip t; ls t*; gunzip t.gz; cmp t tree/text && echo gunzip; zcat -f t | md5sum; gzip -l t.gz 2>/dev/null || echo "is gone"
xz -T2 -k t; xz -t t.xz; xz -dc t.xz | cmp - t && echo xz; xz -l t.xz | awk 'NR == 2 {print $1, $2}'; echo garbage > bad.xz; xz -t bad.xz 2>/dev/null || echo "xz refuses"
if command -v zstd >/dev/null; then zstd -q -T2 t -o t.zst; zstd -dc t.zst | cmp - t; fi
if command -v cpio >/dev/null; then find tree -type f | cpio -o --quiet -H newc | cpio -it --quiet | wc -l >/dev/null; fi
echo done
