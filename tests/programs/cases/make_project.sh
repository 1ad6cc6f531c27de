# A small project: generated headers, a library, parallel make, incremental builds.
# needs: make gcc
set -eu
export LC_ALL=C
mkdir src
for i in $(seq 1 20); do
  printf '#include <stdio.h>\n#include "all.h"\nint f%d(int x) { return x * %d + SCALE; }\n' $i $i > src/f$i.c
done
{ echo '#include <stdio.h>'; echo '#include "all.h"'; echo 'int main(void) { int s = 0;'; for i in $(seq 1 20); do echo "s += f$i(2);"; done; echo 'printf("%d\n", s); return 0; }'; } > src/main.c
cat > Makefile <<'END'
OBJECTS := $(patsubst src/%.c,build/%.o,$(filter-out src/main.c,$(wildcard src/*.c)))
all: program
program: build/main.o libf.a
	@gcc -o $@ $^ && echo "linked $@"
libf.a: $(OBJECTS)
	@rm -f $@ && ar rcs $@ $(sort $^) && echo "archived $(words $^)"
build/%.o: src/%.c src/all.h | build
	@gcc -O1 -c -o $@ $<
build:
	@mkdir -p $@
src/all.h: $(MAKEFILE_LIST)
	@{ echo '#define SCALE 3'; for i in $$(seq 1 20); do echo "int f$$i(int);"; done; } > $@
fail:
	@exit 3
clean:
	@rm -rf build program libf.a
.PHONY: all clean fail
END
make -j2
./program
make -j2 | sed "s/make: //"
sed -i 's/x \* 7/x * 8/' src/f7.c
sleep 0.02; touch src/f7.c
make -j2; ./program
make fail 2>/dev/null || echo "make said $?"
make -j2 -k -s fail all 2>/dev/null || true
make -n clean | cat; make clean; ls
printf 'a:\n\t@$(MAKE) -s -f second b\n' > first; printf 'b: c d\nc d:\n\t@echo $@\n' > second; make -j2 -s -f first | sort
