# Compiles C at -O0 and -O2, statically and as a shared object, and runs it.
# needs: gcc
set -eu
cat > main.c <<'END'
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
int answer(void);
static sigjmp_buf out;
static void on_fault(int signal) { siglongjmp(out, signal); }
static __thread int mine = 5;
static void* work(void* argument) {
  mine += *(int*)argument;
  return (void*)(long)mine;
}
static int compare(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }
static void at_exit(void) { puts("at exit"); }
int main(int argc, char** argv) {
  atexit(at_exit);
  printf("%d %d %.6f\n", argc, answer(), sqrt(2.0));
  int* numbers = malloc(1000000 * sizeof(int));
  unsigned seed = 1;
  for (int i = 0; i < 1000000; ++i) numbers[i] = (int)((seed = seed * 1103515245 + 12345) >> 8);
  qsort(numbers, 1000000, sizeof(int), compare);
  printf("%d %d\n", numbers[0], numbers[999999]);
  free(numbers);
  pthread_t threads[50];
  int values[50];
  long sum = 0;
  for (int i = 0; i < 50; ++i) {
    values[i] = i;
    pthread_create(&threads[i], 0, work, &values[i]);
  }
  for (int i = 0; i < 50; ++i) {
    void* result;
    pthread_join(threads[i], &result);
    sum += (long)result;
  }
  printf("threads %ld, mine %d\n", sum, mine);
  signal(SIGSEGV, on_fault);
  signal(SIGFPE, on_fault);
  int caught = sigsetjmp(out, 1);
  if (!caught) *(volatile int*)8 = 1;
  printf("caught %d\n", caught);
  volatile int zero = 0;
  caught = sigsetjmp(out, 1);
  if (!caught) printf("%d\n", 1 / zero);
  printf("caught %d\n", caught);
  char* page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  strcpy(page, "before");
  mprotect(page, 4096, PROT_READ);
  caught = sigsetjmp(out, 1);
  if (!caught) page[0] = 'B';
  printf("caught %d %s\n", caught, page);
  fflush(stdout);
  if (fork() == 0) _exit(12);
  int status;
  wait(&status);
  printf("child %d\n", WEXITSTATUS(status));
  FILE* pipe = popen("cat", "w");
  fprintf(pipe, "%s\n", argv[1]);
  return pclose(pipe) ? 1 : 21;
}
END
echo 'int answer(void) { return 42; }' > answer.c
for flags in "-O0 -g" "-O2" "-O2 -static" "-Os -flto" "-O1 -fsanitize=undefined"; do
  case $flags in *static*) [ -e /usr/lib/x86_64-linux-gnu/libc.a ] || continue ;; *sanitize*) ls /usr/lib/gcc/*/*/libubsan.so >/dev/null 2>&1 || continue ;; esac
  gcc $flags -Wall -o main main.c answer.c -lm -lpthread
  status=0; ./main "$flags" || status=$?; echo "status $status"
done
gcc -shared -fPIC -o libanswer.so answer.c
gcc -O2 -o main main.c -L. -lanswer -Wl,-rpath,'$ORIGIN' -lm
./main shared || echo "status $?"
LD_PRELOAD=./libanswer.so /bin/echo preloaded
gcc -S -O2 -o - answer.c | grep -c 'movl.*42'; ar rcs libanswer.a answer.c 2>/dev/null; nm libanswer.so | grep -c ' T answer'; strip main; ./main stripped | head -n 1
echo 'int main(void) { return missing(); }' > bad.c; gcc -w -o bad bad.c 2>/dev/null || echo "does not link"; echo 'int main(' | gcc -xc - 2>&1 | grep -c error
