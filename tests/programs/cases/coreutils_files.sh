# Coreutils that work on files and directories.
set -u
export LC_ALL=C
printf 'hello\n' > a; cp a b; cp -a a c; mv c d; ln a hard; ln -s a soft; ln -s missing dangling
ls; ls -i a hard | awk '{print $1}' | uniq | wc -l; stat -c '%n %s %h %F %a' a b hard soft dangling
readlink soft dangling; readlink -f soft | sed 's|.*/||'; realpath -e missing 2>/dev/null; echo "realpath $?"
rm hard; stat -c %h a; unlink b; rm nothing 2>&1
mkdir -p x/y/z; mkdir -m 700 private; stat -c '%a %F' private; rmdir x/y/z; rmdir x 2>&1; rmdir -p x/y
mkdir full; touch full/one; rmdir full 2>&1; rm -r full; ls -d full 2>&1
touch -d '2020-02-03 04:05:06.789 UTC' a; TZ=UTC stat -c '%y' a; TZ=UTC date -r a '+%F %T'
touch -r a d; [ a -nt d ] || [ a -ot d ] || echo "same times"
chmod 4755 a; stat -c %A a; chmod u-s,g+w,o= a; stat -c %A a; chmod +t private; stat -c %A private
chown 12:34 a; stat -c '%u:%g' a; chgrp 56 a; stat -c '%u:%g' a; chown -h 7:8 soft; stat -c '%u:%g' soft
install -m 640 -D a deep/er/copy; stat -c '%a %s' deep/er/copy
truncate -s 1M sparse; stat -c '%s %b' sparse; truncate -s -1K sparse; stat -c %s sparse
dd if=/dev/zero of=zero bs=4k count=16 2>/dev/null; stat -c '%s' zero
dd if=zero of=zero bs=1 seek=100 count=1 conv=notrunc 2>/dev/null; stat -c '%s' zero
dd if=/dev/urandom of=random bs=64k count=16 iflag=fullblock 2>/dev/null; cp random random2; cmp random random2 && echo identical
cp --sparse=always zero hole; cmp zero hole && echo holes
cp -r --preserve=all deep deep2; diff -r deep deep2 && echo "same trees"
mkdir tree; (cd tree; for i in 1 2 3; do mkdir $i; for j in 1 2 3; do echo $i$j > $i/$j; done; done); cp -a tree tree2
diff -r tree tree2 && echo "trees copied"; rm tree2/2/2; echo more >> tree2/3/3; diff -rq tree tree2; rm -r tree2
mv tree renamed; ls renamed; du -a --apparent-size renamed | wc -l
mv -n a d; ls a d; mv -b a d; ls d d~; cp -u d~ d; mv -T renamed again; ls again/1
mknod pipe p; stat -c %F pipe; mkfifo -m 600 pipe2; stat -c '%F %a' pipe2
ls -la again | awk 'NR > 1 {print $1, $NF}'; ls -R again | wc -l; ls -S sparse zero; ls -d */ | head -n 3
dir again; vdir again | wc -l
mktemp -d tmp.XXXXXX | wc -c; mktemp tmp.XXXXXX | wc -c
sync d; shred -u -n 1 random2; ls random2 2>&1; df . | wc -l; df -i / | wc -l
test -r d -a -w d -a ! -x d && echo modes; [ -L soft ] && echo link; [ -S d ] || echo "no socket"; pathchk a/b && echo path
split -b 10000 -d zero part.; ls part.* | wc -l; cat part.* | cmp - zero && echo joined; csplit -s <(seq 1 20) 5 10; wc -l xx0*
echo 1 > a1; echo 2 > a2; cat a1 - a2 < d~; tac <(seq 3); head -qn 1 a1 a2; tail -c 2 a2
(sleep 0.1; echo late >> followed) & touch followed; timeout 3 tail -f -n +1 --pid=$! followed; wait
