# javac and a program with threads.
# needs: java javac
set -eu
cat > Hello.java <<'END'
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;

public class Hello {
  public static void main(String[] args) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(8);
    AtomicLong sum = new AtomicLong();
    List<Future<Integer>> futures = new ArrayList<>();
    for (int i = 0; i < 200; i++) {
      final int n = i;
      futures.add(pool.submit(() -> { sum.addAndGet(n); return n * n; }));
    }
    long squares = 0;
    for (Future<Integer> f : futures) squares += f.get();
    pool.shutdown();
    System.out.println("hello from threads: " + sum + " " + squares + " " + pool.awaitTermination(5, TimeUnit.SECONDS));
    System.out.println(IntStream.range(0, 1000000).parallel().mapToLong(x -> x % 7).sum());
    Object monitor = new Object();
    boolean[] flag = new boolean[1];
    Thread waiter = new Thread(() -> {
      synchronized (monitor) {
        while (!flag[0]) try { monitor.wait(); } catch (InterruptedException e) { return; }
      }
      System.out.println("notified");
    });
    waiter.start();
    Thread.sleep(20);
    synchronized (monitor) { flag[0] = true; monitor.notifyAll(); }
    waiter.join();
    Path dir = Files.createTempDirectory(Path.of("."), "java");
    for (int i = 0; i < 50; i++) Files.writeString(dir.resolve("f" + i), "x".repeat(i));
    try (Stream<Path> s = Files.walk(dir)) { System.out.println("files " + s.count()); }
    Process p = new ProcessBuilder("sh", "-c", "echo from a child; exit 3").start();
    System.out.println(new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor());
    try { Object o = null; o.toString(); } catch (NullPointerException e) { System.out.println("null pointer"); }
    try { recurse(0); } catch (StackOverflowError e) { System.out.println("stack overflow"); }
    List<byte[]> garbage = new LinkedList<>();
    for (int i = 0; i < 300; i++) { garbage.add(new byte[1 << 20]); if (garbage.size() > 20) garbage.remove(0); }
    System.gc();
    System.out.println("collected " + garbage.size());
    Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
    System.exit(7);
  }
  static int recurse(int n) { return recurse(n + 1) + 1; }
}
END
javac -J-XX:TieredStopAtLevel=1 Hello.java
status=0; java -Xmx256m -Xshare:auto Hello || status=$?
echo "java: $status"
