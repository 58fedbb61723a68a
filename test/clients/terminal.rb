# Runs a program at a terminal and types an answer at each of its questions: `gem` asks nobody when there is no terminal.
require 'json'
require 'pty'
require 'timeout'

answers = JSON.parse(ARGV.shift)
PTY.spawn(*ARGV) do |output, input, pid|
  text = +''
  begin
    Timeout.timeout(60) do
      loop do
        text << output.readpartial(4096)
        next unless text =~ /(?:: |\[yN\]|\[Yn\])\s*\z/ && !answers.empty?

        print text
        text = +''
        input.puts answers.shift
      end
    end
  rescue EOFError, Errno::EIO
    # On Linux that is how a terminal ends.
  end
  print text
  Process.wait(pid)
  exit $?.exitstatus
end
