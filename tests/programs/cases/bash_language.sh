# The shell itself: expansions, arrays, reading, globbing, limits, recursion.
declare -A map=([one]=1 [two]=2)
for key in $(printf '%s\n' "${!map[@]}" | sort); do echo "$key=${map[$key]}"; done
list=({a..e}{1..3})
echo "${#list[@]} ${list[*]: -2} ${list[*]/a/x}"
text=abc/def.tar.gz
echo "${text##*/} ${text%%.*} ${text//[ad]/_} ${text^^} ${text:2:5} ${#text}"
mapfile -t lines < <(seq 1 5)
echo "${lines[@]}"
IFS=: read -r user _ uid _ < /etc/passwd
echo "$user $uid"
printf '%05d|%-8s|%x|%q\n' 42 left 255 "a b'c"
touch a.txt b.txt c.log .hidden
mkdir -p d1/d2/d3; touch d1/x.txt d1/d2/y.txt d1/d2/d3/z.txt
shopt -s globstar extglob nullglob dotglob
echo *.txt; echo **/*.txt; echo !(*.txt); echo *.none
fib() { if (($1 < 2)); then echo "$1"; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi; }
fib 9
factorial() { (($1 < 2)) && { echo 1; return; }; echo $(($1 * $(factorial $(($1 - 1))))); }
factorial 15
read -r -t 0.1 nothing < <(sleep 1); echo "read timed out: $(($? > 128))"
echo "umask $(umask)"; umask 077; touch private; stat -c %a private
ulimit -S -n 100; ulimit -S -n; bash -c 'ulimit -n'
ulimit -f 1; bash -c 'head -c 100000 /dev/zero > big' 2>/dev/null; echo "beyond the limit: $?"; stat -c %s big
ulimit -f unlimited 2>/dev/null
case $- in *i*) echo interactive ;; *) echo "not interactive" ;; esac
[[ -t 0 ]] || echo "no terminal"
[[ a.txt -ot private || a.txt -nt private || 1 ]] && echo compared
test -p /dev/stdin || test -c /dev/stdin || echo "other input"
echo "$((2 ** 40)) $((0x1f & 10)) $((17 % 5))"
eval 'for ((i = 0; i < 3; i++)); do printf "%d " $i; done; echo'
select_once() { PS3=; select word in alpha beta; do echo "chose $word"; break; done; }
echo 2 | select_once 2>/dev/null
(cd d1 && pwd | sed 's|.*/||'); cd - >/dev/null 2>&1; echo "$OLDPWD" | wc -l
bash -c 'echo "$0 $# $@"' name 1 2 3
exec -a other bash -c 'echo "$0"'
