# 200,000 rows through the shell of sqlite3.
# needs: sqlite3
set -eu
sqlite3 test.db <<'END'
create table t (id integer primary key, a text, b integer);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
insert into t select i, 'row ' || i, (i * 7919) % 10007 from n;
commit;
create index by_b on t (b);
select count(*), sum(b), max(a) from t;
select b, count(*) from t group by b order by 2 desc, 1 limit 3;
select count(*) from t x join t y on x.b = y.b where x.id < 1000 and y.id < 1000;
update t set a = a || '!' where b < 1000;
delete from t where id % 3 = 0;
select count(*), sum(length(a)) from t;
pragma integrity_check;
vacuum;
END
sqlite3 test.db '.dump' | md5sum
sqlite3 test.db 'pragma journal_mode=wal; begin; update t set b = b + 1; rollback; select sum(b) from t;'
sqlite3 -csv test.db 'select * from t limit 1000' | sqlite3 other.db '.mode csv' 'create table u (id, a, b)' '.import /dev/stdin u' 'select count(*), sum(b) from u'
for i in 1 2 3 4; do (for j in $(seq 1 10); do sqlite3 -cmd '.timeout 20000' test.db "insert into t (a, b) values ('writer $i', $j)"; done) & done; wait
sqlite3 test.db "select count(*), sum(b) from t where a like 'writer%'"
