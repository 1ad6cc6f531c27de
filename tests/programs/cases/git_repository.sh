# A repository of 200 files: commits, branches, merge, clone, gc.
# needs: git
set -eu
export HOME=$PWD GIT_AUTHOR_DATE='2024-01-02T03:04:05Z' GIT_COMMITTER_DATE='2024-01-02T03:04:05Z' LC_ALL=C GIT_PAGER=cat GIT_CONFIG_NOSYSTEM=1
git config --global user.name Tester; git config --global user.email tester@example.test; git config --global init.defaultBranch main
git init -q repo; cd repo
for i in $(seq 1 200); do mkdir -p d$((i % 10)); seq $i $((i + 50)) > d$((i % 10))/f$i; done
git add .; git commit -qm 'Add 200 files'; git rev-parse HEAD; git status --short | wc -l; git ls-files | wc -l
for i in $(seq 1 10); do echo "change $i" >> d1/f$((i * 10 - 9)); done
git status --short; git diff --stat | tail -n 1; git commit -qam 'Change'; git log --oneline; git show --stat HEAD | tail -n 1
git checkout -q -b side HEAD~1; echo side > side; git add side; git commit -qm Side; git checkout -q main; git merge -q --no-edit side 2>&1; git log --oneline --graph | head -n 5
git mv d2/f2 renamed; git rm -q d3/f3; git commit -qm 'Rename and remove'; git show --name-status -M --format= HEAD
git tag -a v1 -m 'Version 1'; git describe; git blame -s d1/f1 | tail -n 2; git grep -c '^200$' | sort | head -n 3
git stash list; echo dirty >> renamed; git stash -q; git status --short; git stash pop -q; git status --short; git checkout -q -- renamed
cd ..; git clone -q repo clone 2>&1; git -C clone log --oneline | wc -l; diff -r -x .git repo clone && echo "clone is equal"; git clone -q --bare --no-local repo bare.git 2>&1; git -C bare.git count-objects | cut -d' ' -f2
cd clone; echo more > more; git add more; git commit -qm More; git push -q ../bare.git main 2>&1; git -C ../bare.git log --format=%s | head -n 1; git fetch -q origin; git pull -q --rebase 2>&1
cd ../repo; git gc -q 2>&1; git fsck 2>&1; git count-objects -v | grep -E '^(count|in-pack|packs)'; git archive --format=tar HEAD | tar -t | wc -l
git rebase -q HEAD~1 2>&1; git cherry-pick -n side >/dev/null 2>&1 || echo "already there"; git reset -q --hard; git bisect start -q HEAD HEAD~3 2>/dev/null | wc -l; git worktree add -q ../tree 2>&1; ls ../tree | wc -l
git format-patch -q -1 -o .. v1; git -C ../clone apply --check ../0001* 2>/dev/null || echo "does not apply"; git reflog | wc -l
