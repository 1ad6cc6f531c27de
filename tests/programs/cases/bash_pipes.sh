# Pipes, here-documents, process substitution and what becomes of the writers and readers.
set -u
seq 1 100000 | grep 7 | wc -l
yes | head -n 3
echo "statuses of a broken pipe: $(yes | head -n 1 >/dev/null; echo "${PIPESTATUS[@]}")"
(set -o pipefail; false | true; echo "pipefail $?")
true | false | true
echo "each: ${PIPESTATUS[*]}"

cat <<END | tr a-z A-Z
a here-document with $((6 * 7)) and `echo a substitution`
END
cat <<'END'
a quoted $one
END
cat <<-END
	indented
	END
tr ' ' '\n' <<< "a here string"
# Larger than a pipe's buffer: bash needs a file for it.
big=$(seq 1 50000)
wc -c <<< "$big"
md5sum <<< "$big"

cat <(echo first) <(echo second)
diff <(seq 1 5) <(seq 2 6)
echo "diff said $?"
seq 1 1000 | tee >(md5sum > sum) >(wc -l > lines) > copy
while ! [ -s sum ] || ! [ -s lines ]; do sleep 0.02; done
cat sum lines
cmp copy <(seq 1 1000) && echo same

coproc UPPER { while read -r line; do echo "${line^^}"; done; }
echo hello >&"${UPPER[1]}"
read -r answer <&"${UPPER[0]}"
echo "coprocess: $answer"
upper=$UPPER_PID
eval "exec ${UPPER[1]}>&-"
wait "$upper"
echo "coprocess ended with $?"

mkfifo fifo
(for i in 1 2 3; do echo "fifo $i"; done > fifo) &
cat fifo
wait
exec 7<>fifo
echo through both ends >&7
read -r line <&7
echo "$line"
exec 7>&-

{ echo out; echo err >&2; } 2>&1 >/dev/null | sed 's/^/stderr: /'
exec 5>file
echo one >&5; echo two >&5
exec 5>&-
cat file
echo three >> file
{ read -r a; read -r b; echo "$a/$b"; } < file
(exec 9<file; head -c 3 <&9 >/dev/null; tail -n 1 <&9)
