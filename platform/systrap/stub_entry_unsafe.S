// The code that stub threads run besides the application. It uses no stack and trusts nothing but
// registers, because every writable page of a stub belongs to the application's reach.

#include "platform/systrap/stub_layout.h"

        .section stub_text, "ax", @progbits

// Signal handler of all application threads. rdi: signal, rsi: siginfo, rdx: ucontext, on the
// alternate stack in the thread's area. The doorbell carries them and the segment bases; its reply
// says which frame to return to. It is posted where a worker is watching, unless the signal found the
// thread in StubCall or a trampoline, where it may have posted a call already; one that it makes there
// (SIGSYS) it has not.
        .globl StubHandler
        .p2align 4
StubHandler:
        cmp     $11, %edi               // SIGSEGV
        je      cpuid
report: mov     %rsp, %r12
        and     $-STUB_AREA_SIZE, %r12
        rdfsbase %r10
        rdgsbase %r8
        lea     STUB_AREA_HEADER(%r12), %r11
        mov     STUB_CALL_SPINS(%r11), %ecx
        test    %ecx, %ecx
        jz      ring
        cmp     $31, %edi               // SIGSYS
        je      1f
        movabs  $STUB_BASE, %rax
        cmp     %rax, 168(%rdx)         // rip
        jae     ring
1:      lea     StubDoorbellSite(%rip), %rax  // goes on there, or parks in front of it
        mov     %rax, STUB_CALL_RETURN(%r11)
        mov     $STUB_DOORBELL, %eax
        jmp     post
ring:
        mov     $STUB_DOORBELL, %eax
        syscall
        .globl StubDoorbellSite
StubDoorbellSite:
        test    %rax, %rax
        js      StubDie
        test    $STUB_REPLY_LOAD_BASES, %al
        jz      1f
        mov     STUB_AREA_HEADER(%r12), %rcx
        wrfsbase %rcx
        mov     STUB_AREA_HEADER+8(%r12), %rcx
        wrgsbase %rcx
1:      and     $-8, %rax
        lea     (%r12, %rax), %rsp
sigreturn:
        mov     $15, %eax               // rt_sigreturn
        syscall
        .globl StubSigreturnSite
StubSigreturnSite:
        .globl StubDie
StubDie:
        hlt                             // a forced SIGSEGV, which is blocked here: the process dies

// A fault, which may be that of an instruction that stands for cpuid: answers it from the table, in
// the frame. The offsets are those of registers in the ucontext.
cpuid:  cmpq    $STUB_CPUID_TRAP, 200(%rdx)
        jne     report
        cmpq    $STUB_CPUID_ERROR, 192(%rdx)
        jne     report
        movabs  $(STUB_COMMANDS + STUB_CPUID_RANGE), %rcx
        mov     168(%rdx), %r8          // rip
        sub     (%rcx), %r8
        cmp     8(%rcx), %r8
        jae     report
        mov     144(%rdx), %r8d         // eax
        mov     152(%rdx), %r9d         // ecx
        movabs  $STUB_CPUID, %rcx
1:      mov     (%rcx), %eax
        test    %eax, %eax              // STUB_CPUID_END: the Sentry will add it
        jz      report
        cmp     4(%rcx), %r8d
        jne     2f
        cmp     $STUB_CPUID_ANY, %eax
        je      3f
        cmp     8(%rcx), %r9d
        je      3f
2:      add     $STUB_CPUID_ENTRY, %rcx
        jmp     1b
3:      mov     12(%rcx), %eax
        mov     %rax, 144(%rdx)
        mov     16(%rcx), %eax
        mov     %rax, 128(%rdx)         // ebx
        mov     20(%rcx), %eax
        mov     %rax, 152(%rdx)
        mov     24(%rcx), %eax
        mov     %rax, 136(%rdx)         // edx
        addq    $2, 168(%rdx)
        mov     %rdx, %rsp
        jmp     sigreturn

// A system call by way of a trampoline (call_sites.h). r11: the header of the thread's area, rcx:
// where the trampoline goes on, behind its own system call instruction; these two registers belong
// to nobody after a system call. Answers what needs no Sentry; posts the call where a worker is
// watching and waits a little; else lets the trampoline make it.
        .globl StubCall
        .p2align 6
StubCall:
        mov     %rcx, STUB_CALL_RETURN(%r11)
        cmp     $STUB_MAX_ANSWER, %rax
        jae     1f
        mov     STUB_CALL_ANSWERS(%r11, %rax, 4), %ecx
        sub     $1, %ecx
        jb      1f
        mov     %ecx, %eax
        .globl StubCallAnswered
StubCallAnswered:
        jmp     *STUB_CALL_RETURN(%r11)
1:      mov     STUB_CALL_SPINS(%r11), %ecx  // once: the Sentry may set it to 0 at any time
        test    %ecx, %ecx
        jnz     post
        .globl StubCallFallback
StubCallFallback:
        mov     STUB_CALL_RETURN(%r11), %rcx
        sub     $2, %rcx
        jmp     *%rcx
post:   mov     %eax, STUB_CALL_NR(%r11)
        mov     %rdi, STUB_CALL_ARGS(%r11)
        mov     %rsi, STUB_CALL_ARGS+8(%r11)
        mov     %rdx, STUB_CALL_ARGS+16(%r11)
        mov     %r10, STUB_CALL_ARGS+24(%r11)
        mov     %r8, STUB_CALL_ARGS+32(%r11)
        mov     %r9, STUB_CALL_ARGS+40(%r11)
        movl    $STUB_CALL_POSTED, STUB_CALL_STATE(%r11)
        .globl StubCallPosted
StubCallPosted:
3:      mov     STUB_CALL_STATE(%r11), %eax
        cmp     $STUB_CALL_DONE, %eax
        je      5f
        cmp     $STUB_CALL_BLOCKED, %eax
        je      6f
        pause
        dec     %ecx
        jnz     3b
4:      mov     STUB_CALL_STATE(%r11), %eax
        cmp     $STUB_CALL_DONE, %eax
        je      5f                      // and DONE it stays, for who interrupts it before it has the result
        mov     $STUB_CALL_PARKED, %ecx
        lock cmpxchg %ecx, STUB_CALL_STATE(%r11)
        jne     4b
        mov     $STUB_PARK, %eax
        mov     STUB_CALL_RETURN(%r11), %rcx
        sub     $2, %rcx
        jmp     *%rcx
5:      mov     STUB_CALL_RESULT(%r11), %rax
        .globl StubCallDone
StubCallDone:
        jmp     *STUB_CALL_RETURN(%r11)
// It is blocked. Who will end that probably runs on this processor, and can be given it without
// going to sleep. A system call loses r11, so the header is in rbx meanwhile.
6:      mov     %rbx, STUB_CALL_RBX(%r11)
        movl    $STUB_MAX_YIELDS, STUB_CALL_YIELDS(%r11)
        .globl StubCallBlocked
StubCallBlocked:
        mov     %r11, %rbx
7:      mov     $24, %eax               // sched_yield
        syscall
        .globl StubYieldSite
StubYieldSite:
        cmpl    $STUB_CALL_DONE, STUB_CALL_STATE(%rbx)
        je      8f
        cmpl    $0, STUB_CALL_SPINS(%rbx)
        je      8f                      // nobody is watching any more
        decl    STUB_CALL_YIELDS(%rbx)
        jnz     7b
8:      mov     %rbx, %r11
        mov     STUB_CALL_RBX(%r11), %rbx
        .globl StubCallUnblocked
StubCallUnblocked:
        jmp     4b
        .globl StubCallEnd
StubCallEnd:

// An application thread without a context: waits for one. r12: its area.
idle:
        xor     %esi, %esi
        xor     %edx, %edx
        mov     $STUB_REASON_IDLE, %edi
        jmp     ring

// The spawner starts all other application threads, and never runs application code itself. Set-up
// clones it before the helper has a filter. It leaves its listener's descriptor at the start of
// the set-up stack.
        .globl StubSpawnerStart
        .p2align 4
StubSpawnerStart:
        xor     %esp, %esp
        xor     %ecx, %ecx
        wrfsbase %rcx
        mov     $317, %eax              // seccomp
        mov     $1, %edi                // SECCOMP_SET_MODE_FILTER
        movabs  $STUB_CONFIG, %rdx
        mov     48(%rdx), %rsi          // StubConfig::listener_flags
        add     $32, %rdx               // StubConfig::app
        syscall
        movabs  $STUB_STACK, %rdx
        mov     %eax, (%rdx)
        test    %eax, %eax
        jns     1f
        mov     $60, %eax               // exit: set-up reports the error
        syscall
1:      xor     %esi, %esi
spawner_loop:
        mov     $STUB_REASON_SPAWNER, %edi
        xor     %edx, %edx
        mov     $STUB_DOORBELL, %eax
        syscall
        .globl StubSpawnerSite
StubSpawnerSite:
        test    %rax, %rax              // index of the thread to start
        jle     StubDie
        mov     %rax, %rbx
        mov     $STUB_CLONE_THREAD, %edi
        xor     %esi, %esi
        xor     %edx, %edx
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        mov     $56, %eax               // clone
        syscall
        .globl StubCloneSite
StubCloneSite:
        test    %rax, %rax
        jz      2f
        mov     %rax, %rsi
        jmp     spawner_loop
2:      shl     $STUB_AREA_SHIFT, %rbx
        movabs  $STUB_AREAS, %r12
        add     %rbx, %r12
        movabs  $(STUB_COMMANDS + STUB_NEXT_STACK), %rdi
        xor     %esi, %esi
        mov     $131, %eax              // sigaltstack
        syscall
        .globl StubSigaltstackSite
StubSigaltstackSite:
        test    %rax, %rax
        js      StubDie
        jmp     idle

// The helper: makes the system calls of the command pages, as many as the doorbell's reply says,
// and reports how many it made (rsi) and the first failure (rdx, negative errno).
        .globl StubHelperStart
        .p2align 4
StubHelperStart:
        xor     %esp, %esp
        mov     $11, %eax               // munmap
        movabs  $STUB_STACK, %rdi
        mov     $STUB_STACK_SIZE, %esi
        syscall
        mov     $317, %eax              // seccomp
        mov     $1, %edi
        xor     %esi, %esi
        movabs  $(STUB_CONFIG + 16), %rdx  // StubConfig::helper
        syscall
        test    %rax, %rax
        jnz     StubDie
        xor     %esi, %esi
        xor     %edx, %edx
helper_loop:
        mov     $STUB_REASON_HELPER, %edi
        mov     $STUB_DOORBELL, %eax
        syscall
        test    %rax, %rax
        jle     StubDie
        mov     %rax, %r13
        xor     %r14d, %r14d
        movabs  $(STUB_COMMANDS + STUB_COMMAND_LIST), %r12
3:      mov     0(%r12), %rax
        mov     8(%r12), %rdi
        mov     16(%r12), %rsi
        mov     24(%r12), %rdx
        mov     32(%r12), %r10
        mov     40(%r12), %r8
        mov     48(%r12), %r9
        syscall
        xor     %edx, %edx
        cmp     $-4096, %rax
        ja      4f
        inc     %r14
        add     $STUB_COMMAND_SIZE, %r12
        cmp     %r13, %r14
        jb      3b
        mov     %r14, %rsi
        jmp     helper_loop
4:      mov     %rax, %rdx
        mov     %r14, %rsi
        jmp     helper_loop

// Runs in the zygote before it is bare: the current stack may lie in the stub region, so registers
// only.
        .text
        .globl StubBootstrap
StubBootstrap:
        mov     %rsi, %r15
        mov     %edi, %r14d
        mov     $9, %eax                // mmap: code
        movabs  $STUB_CODE, %rdi
        mov     $STUB_CODE_SIZE, %esi
        mov     $5, %edx                // PROT_READ | PROT_EXEC
        mov     $0x12, %r10d            // MAP_PRIVATE | MAP_FIXED
        mov     %r14d, %r8d
        xor     %r9d, %r9d
        syscall
        cmp     $-4096, %rax
        ja      5f
        mov     $9, %eax                // mmap: configuration
        movabs  $STUB_CONFIG, %rdi
        mov     $STUB_CONFIG_SIZE, %esi
        mov     $1, %edx
        mov     $0x12, %r10d
        mov     %r14d, %r8d
        mov     $STUB_CODE_SIZE, %r9d
        syscall
        cmp     $-4096, %rax
        ja      5f
        mov     $9, %eax                // mmap: stack
        movabs  $STUB_STACK, %rdi
        mov     $STUB_STACK_SIZE, %esi
        mov     $3, %edx
        mov     $0x32, %r10d            // MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
        mov     $-1, %r8
        xor     %r9d, %r9d
        syscall
        cmp     $-4096, %rax
        ja      5f
        lea     STUB_STACK_SIZE-8(%rax), %rsp
        jmp     *%r15
5:      mov     $231, %eax
        mov     $71, %edi
        syscall
        hlt

        .section .note.GNU-stack, "", @progbits
