# Job control, traps and waiting.
set -m
sleep 30 &
first=$!
sleep 40 &
second=$!
jobs | sed 's/  */ /g'
kill -STOP %1
while [ "$(jobs -s | wc -l)" != 1 ]; do sleep 0.02; done
jobs -s | sed 's/  */ /g'
kill -CONT %1
kill %1
wait $first 2>/dev/null
echo "first ended with $?"
kill -KILL %2
wait $second 2>/dev/null
echo "second ended with $?"
kill -0 $first 2>/dev/null || echo "first is gone"

# A group of a pipeline dies together.
sleep 50 | sleep 60 &
last=$!
kill -TERM -- -"$(jobs -p %%)"
wait $last 2>/dev/null
echo "pipeline ended with $?"

# Stopping itself, seen by the shell as a stopped job.
bash -c 'kill -STOP $$; echo resumed' &
while [ -z "$(jobs -s)" ]; do sleep 0.02; done
fg %% >/dev/null
echo "fg ended with $?"
set +m

trap 'echo "got USR1"' USR1
kill -USR1 $$
trap 'echo "got TERM"' TERM
(sleep 0.1; kill -TERM $$) &
sleep 0.5 &
wait $!
echo "wait was interrupted: $?"
wait
trap - TERM
trap '' HUP
kill -HUP $$
echo "HUP is ignored"
bash -c 'trap "echo cleaning up; exit 7" EXIT; exit 3'
echo "exit trap: $?"
bash -c 'kill -TERM $$; sleep 5'
echo "died of TERM: $?"
bash -c 'kill -SEGV $$' 2>/dev/null
echo "died of SEGV: $?"
bash -c 'trap "echo child ended" CHLD; /bin/true; sleep 0.05; :' | sort -u

wait
# In a shell of its own, which remembers no earlier job; apart in time, because bash forgets one of two that end at once.
bash <<'END'
for i in 1 2 3; do (sleep 0.1; exit $i) & wait -n; echo "wait -n: $?"; done
wait -n
echo "none left: $?"
END
for i in $(seq 1 50); do (exit $((i % 5))) & pids[i]=$!; done
sum=0
for i in $(seq 1 50); do wait "${pids[i]}"; sum=$((sum + $?)); done
echo "sum of statuses: $sum"
timeout 0.2 sleep 10
echo "timeout: $?"
timeout -s KILL 0.2 bash -c 'trap "" TERM; sleep 10'
echo "timeout by KILL: $?"
nohup bash -c 'kill -HUP $$; echo survived' 2>/dev/null
setsid bash -c '[ "$(ps -o sid= -p $$ | tr -d " ")" = $$ ] && echo "leads its session"'
