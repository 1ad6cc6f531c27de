# find over a tree of some thousand entries, xargs in parallel.
# needs: find xargs
set -u
export LC_ALL=C
for i in $(seq 1 30); do mkdir -p tree/$i/sub; for j in $(seq 1 20); do echo "$i $j" > tree/$i/f$j; done; ln -s ../f1 tree/$i/sub/link; done
find tree | wc -l; find tree -type d | wc -l; find tree -type l | wc -l; find -L tree -name link -type f | wc -l
find tree -name 'f1*' -newer tree/1/f1 | wc -l | grep -c .; find tree -maxdepth 1 -mindepth 1 | sort -V | head -n 3; find tree -empty | wc -l
find tree -path '*/7/*' -size -2 -type f -printf '%f %s %d %y\n' | sort | head -n 3; find tree -perm -u+r -links 1 -user root | wc -l
find tree -name f20 -exec cat {} + | sort -n | md5sum; find tree -name f3 -exec grep -l '^3 ' {} \;; find tree -regex '.*/f[12]' | wc -l
find tree -type f -print0 | xargs -0 -n 20 -P 4 cat | sort | md5sum; seq 1 200 | xargs -n 1 -P 8 -I{} sh -c 'echo $(({} * {}))' | sort -n | md5sum
echo a b c | xargs -n 1 echo item; printf 'x\ny\n' | xargs -I@ echo "<@>"; seq 3 | xargs false; echo "xargs $?"; echo | xargs -r echo none
find tree -name 'f*' -delete; find tree -type f | wc -l; find tree -depth -type d -exec rmdir {} \; 2>/dev/null; find tree | wc -l
find /etc -maxdepth 1 -name passwd; find /nonexistent 2>&1; echo "find $?"; find /usr/bin -maxdepth 1 -name 'x*' | wc -l; find /proc/self/task -maxdepth 1 -mindepth 1 | wc -l
find /usr/share/doc -type f 2>/dev/null | wc -l; find /usr/include -name '*.h' -print0 2>/dev/null | xargs -0 cat | md5sum
