# needs: perl
use strict;
use warnings;
use POSIX qw(:sys_wait_h strftime);
use File::Temp qw(tempfile tempdir);
use File::Find;
use IO::Handle;
use Socket;
$| = 1;
my %count;
$count{length $_}++ for map { $_ x ($_ % 7) } 1 .. 1000;
print join(',', map { "$_=$count{$_}" } sort { $a <=> $b } keys %count), "\n";
open(my $out, '>', 'lines') or die;
print $out "line $_\n" for 1 .. 10000;
close $out;
open(my $in, '<', 'lines') or die;
my ($n, $sum) = (0, 0);
while (<$in>) { $n++; $sum += $1 if /(\d*5)$/; }
print "$n $sum $.\n";
print `echo from backticks`;
system('sh', '-c', 'exit 3');
print $? >> 8, "\n";
open(my $pipe, '-|', 'seq', 1, 5) or die;
print map { $_ * 2 . ' ' } <$pipe>;
close $pipe;
print "\n";
my @children;
for my $i (1 .. 5) {
  my $pid = fork;
  exit $i unless $pid;
  push @children, $pid;
}
my $total = 0;
for (@children) { waitpid $_, 0; $total += $? >> 8; }
print "children $total\n";
local $SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; select(undef, undef, undef, 10); alarm 0; };
print "caught $@";
local $SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
local $SIG{USR1} = sub { print "usr1\n" };
kill 'USR1', $$;
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
$a->autoflush(1);
print $a "over a socket\n";
print scalar <$b>;
my $dir = tempdir(CLEANUP => 1);
for (1 .. 20) { open(my $f, '>', "$dir/$_"); close $f }
my $found = 0;
find(sub { $found++ if -f }, $dir);
print "found $found\n";
print strftime('%F', gmtime(1700000000)), "\n";
my $text = join ' ', map { chr(97 + $_ % 26) } 1 .. 100000;
(my $copy = $text) =~ s/([aeiou])/<$1>/g;
print length($copy), ' ', scalar(() = $text =~ /b/g), "\n";
rename 'lines', 'renamed' or die;
print -s 'renamed', ' ', (stat 'renamed')[3], "\n";
truncate 'renamed', 10;
print -s 'renamed', "\n";
unlink 'renamed';
print -e 'renamed' ? 'there' : 'gone', "\n";
print "$0\n" =~ /perl\.pl/ ? "named\n" : "not named\n";
exec 'echo', 'the end';
