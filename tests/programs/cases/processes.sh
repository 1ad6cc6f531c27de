# procps, util-linux and what they read in /proc.
# needs: ps pgrep
export LC_ALL=C
sleep 31.5 & a=$!
sleep 31.5 & b=$!
ps -o args= -p $a; ps -o ppid= -p $b | tr -d ' ' | grep -cx $$; ps -o stat= -p $a | cut -c 1; ps -o comm=,nlwp= -p $a | sed 's/  */ /g'
pgrep -P $$ -f '^sleep 31.5' | wc -l; pgrep -P $$ sleep | wc -l; pidof sleep | wc -w | grep -c .
renice -n 7 -p $a >/dev/null; ps -o ni= -p $a | tr -d ' '
pkill -P $$ -f '^sleep 31.5$'; wait $a; echo $?; wait $b; echo $?
ps -p $a >/dev/null || echo gone
cat /proc/$$/comm; tr '\0' ' ' < /proc/$$/cmdline | cut -d' ' -f1; readlink /proc/$$/exe; readlink /proc/self/cwd | grep -c .; [ /proc/self/root -ef / ] && echo root
grep -E '^(Name|State|Threads|Tgid|Uid|Gid):' /proc/$$/status | sed 's/State.*/State/;s/Tgid.*/Tgid/'
ls /proc/self/fd | wc -l; sleep 9 < /dev/null & readlink /proc/$!/fd/0; kill $!; wait $! 2>/dev/null
grep -c 'r-xp' /proc/self/maps | grep -c .; grep -q '\[stack\]' /proc/self/maps && echo stack; grep -q '\[vdso\]' /proc/self/maps && echo vdso; grep -q '\[heap\]' /proc/$$/maps && echo heap
awk '/MemTotal/ {print ($2 > 1000)}' /proc/meminfo; free | wc -l; uptime | grep -c load; awk '{print NF}' /proc/loadavg; awk '{print ($1 > 0)}' /proc/uptime
head -n 1 /proc/stat | awk '{print NF}'; grep -c ^processor /proc/cpuinfo | xargs test 0 -lt && echo cpus; cut -d' ' -f1-2 /proc/version; cat /proc/filesystems | grep -c tmpfs
vmstat 2>/dev/null | wc -l; top -b -n 1 2>/dev/null | head -n 1 | cut -c 1-5; awk '$5 == "/" {n++} END {print (n > 0)}' /proc/self/mountinfo; findmnt -n -o TARGET / ; mount | grep -c ' on / '
sysctl -n kernel.ostype 2>/dev/null; cat /proc/sys/kernel/pid_max | grep -c .; cat /proc/sys/vm/overcommit_memory | grep -c .; cat /proc/sys/kernel/random/uuid | wc -c
(flock -n 9 && echo locked; flock -n lock true || echo "not twice") 9> lock; flock lock echo again
getopt -o ab: -- -a -b x y; rev <<< abc; hexdump -C <<< hi; column -t <<< $'a b\nccc d'; cal 2 2024 2>/dev/null | head -n 1; uuidgen 2>/dev/null | wc -c; mountpoint -q /proc && echo "proc is a mount"
script -qec 'tty | cut -c 1-9; stty size; test -t 1 && echo terminal' /dev/null < /dev/null | tr -d '\r'
setpriv --reuid 1000 --regid 1000 --clear-groups id -u; setpriv --reuid 1000 --regid 1000 --clear-groups cat /etc/shadow 2>&1; su nobody -s /bin/sh -c 'id -un; touch /root/x 2>&1' 
prlimit --nofile=64:64 bash -c 'ulimit -n; exec 63</dev/null; echo $?'; taskset -cp $$ | grep -c 'affinity list'; chrt -p $$ | head -n 1 | sed 's/pid .*policy/policy/'; ionice -p $$ >/dev/null && echo io
unshare -U true 2>/dev/null; unshare --fork --pid true 2>/dev/null; last 2>/dev/null | wc -l | grep -c .; lscpu 2>/dev/null | grep -c Architecture; logger x 2>/dev/null; ldd /bin/ls | grep -c libc; locale | head -n 1
