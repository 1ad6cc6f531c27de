# Coreutils that work on text, and the small ones.
set -u
export LC_ALL=C
seq 1 20 | sort -r | head -n 3; seq 1 20 | sort -R | sort -n | tail -n 1; printf 'b 2\na 10\na 9\n' | sort -k1,1 -k2n
seq 1 300000 | awk '{print ($1 * 7919) % 300007}' > numbers
sort -n numbers | md5sum; sort --parallel=2 -S 1M -T . -n numbers | md5sum; sort -u numbers | wc -l; sort -c numbers 2>&1 | cut -d: -f2
sort -n numbers > sorted; sort -m -n sorted sorted | uniq -d | wc -l; printf '1.10\n1.9\n' | sort -V; shuf -i 1-100 | sort -n | md5sum
printf 'a\na\nb\n' | uniq -c; comm <(seq 1 5) <(seq 3 7); join <(printf '1 a\n2 b\n') <(printf '1 x\n2 y\n')
paste <(seq 3) <(seq 4 6); paste -sd+ <(seq 5); cut -c 2-4 <<< abcdef; cut -d, -f 2 <<< a,b,c; nl <(seq 3); fold -w 5 <<< abcdefghij; fmt -w 20 <<< "some words to be filled into short lines"
tr -d aeiou <<< education; tr -s l <<< hellllo; expand <<< $'a\tb' | cat -A; unexpand -a <<< 'a       b' | cat -A; pr -t -2 <(seq 4); tsort <<< 'a b b c'; ptx <<< 'a word' | wc -l
wc sorted; wc -L <<< "long line"; od -An -tx1 <<< hello; od -c -N 4 sorted; base64 <<< hello | base64 -d; base32 <<< x; basenc --base16 <<< x
for sum in md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum sum; do $sum < sorted; done; sha256sum sorted > check; sha256sum -c check
numfmt --to=iec 123456789; factor 1234567890123; seq -s' ' 0 0.5 2; expr 6 \* 7; expr abc : 'a\(.\)'; printf '%s %d %.3f\n' x 7 3.14159; echo -e 'a\tb'
basename /a/b.c .c; dirname /a/b; TZ=America/New_York date -d @1700000000 '+%F %T %Z'; TZ=UTC date -d '2024-02-28 + 2 days' +%F
env -i A=1 env; env -u HOME sh -c 'echo ${HOME:-unset}'; printenv -0 PATH | wc -c | grep -c .; expr $(nice -n 5 nice) - $(nice); sleep 0.01; true; false || echo false; yes y | head -n 2; 
id -u; id -gn; whoami; groups root; logname 2>/dev/null | wc -l; nproc | grep -c .; uname -s; uname -m; arch; hostname >/dev/null && echo named; tty; stty -a 2>&1 | head -n 1; getconf PAGESIZE; pwd -P | grep -c /
stdbuf -oL echo buffered; timeout 5 echo timed; nohup echo kept 2>/dev/null; tee t1 t2 <<< teed; cat t1 t2; hostid | wc -c; users | wc -l; chroot / /bin/echo chrooted; chroot /nonexistent true 2>&1; echo $?
dircolors -p | head -n 1; link t1 t3; cmp t1 t3 && echo linked; stat -f -c %t / | grep -c .; kill -l 9; kill -l | head -n 1; runcon 2>/dev/null; mkfifo ff; (dd of=ff bs=3 count=1 2>/dev/null <<< abc) & dd if=ff bs=10 2>/dev/null; echo; wait
grep -c 77 numbers; grep -rn teed . | sort; grep -E '^(1|2)+$' numbers | sort | md5sum; grep -P '\d{6}' numbers | wc -l; sed -n '2,4p;5q' sorted; sed -i 's/teed/edited/' t1; cat t1
awk 'BEGIN {while (("echo from a command" | getline line) > 0) print line; print toupper("x"), length("four"), substr("abcdef", 2, 3)} END {printf "%d %.2f\n", NR, s}; {s += $1}' sorted
awk '{count[length($0)]++} END {for (n in count) print n, count[n]}' numbers | sort; bc <<< '2^64' 2>/dev/null | grep -c . ; diff -u <(seq 3) <(seq 2 4) | tail -n +3; patch --version 2>/dev/null | head -c 9; echo
