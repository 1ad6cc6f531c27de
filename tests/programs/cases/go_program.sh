# The go tool and a program with goroutines, timers, processes and files.
# needs: go
set -eu
export GOFLAGS=-mod=mod GOCACHE=${GO_CACHE:-$PWD/cache} GOPATH=$PWD/path GOTOOLCHAIN=local GO111MODULE=on GOTELEMETRY=off CGO_ENABLED=0
mkdir hello; cd hello
cat > go.mod <<'END'
module example.test/hello

go 1.21
END
cat > main.go <<'END'
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	var sum atomic.Int64
	var group sync.WaitGroup
	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			runtime.Gosched()
			sum.Add(int64(i))
		}(i)
	}
	group.Wait()
	fmt.Println("hello from", 1000, "goroutines:", sum.Load() > 0)
	jobs, results := make(chan int), make(chan int, 10)
	for w := 0; w < 4; w++ {
		go func() {
			runtime.LockOSThread()
			for job := range jobs {
				results <- job * job
			}
		}()
	}
	go func() {
		for i := 0; i < 10000; i++ {
			jobs <- i
		}
		close(jobs)
	}()
	total := 0
	for i := 0; i < 10000; i++ {
		total += <-results
	}
	fmt.Println("total", total)
	// Busy: only a signal can preempt it.
	var stop atomic.Bool
	go func() {
		for !stop.Load() {
		}
	}()
	for i := 0; i < 5; i++ {
		runtime.GC()
	}
	stop.Store(true)
	fmt.Println("collected")
	ticks := 0
	for range time.Tick(5 * time.Millisecond) {
		if ticks++; ticks == 10 {
			break
		}
	}
	out, err := exec.Command("echo", "a child").CombinedOutput()
	fmt.Printf("%q %v\n", out, err)
	err = exec.Command("sh", "-c", "exit 3").Run()
	fmt.Println(err)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	os.WriteFile("file", make([]byte, 12345), 0o644)
	info, _ := os.Stat("file")
	fmt.Println(info.Size(), info.Mode())
	buffers := make([][]byte, 0)
	for i := 0; i < 200; i++ {
		buffers = append(buffers, make([]byte, 1<<20))
		buffers[i][i] = 1
		if len(buffers) > 20 {
			buffers[i-20] = nil
		}
	}
	defer func() { fmt.Println("recovered", recover() != nil); os.Exit(4) }()
	var nothing *int
	*nothing = 1
}
END
status=0; go run . || status=$?; echo "go run: $status"
go build -o hello . ; status=0; ./hello | head -n 2 || status=$?; go vet . && echo vetted
