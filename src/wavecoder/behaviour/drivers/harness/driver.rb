# Calls a function of subject.rb and writes each result as a line; see wire.py for the lines.
# Every call is made in a process of its own. Arguments: mark, room, seconds, how many may be lost,
# the function. calls.rb gives number and arguments of each call. Values are told by their class
# alone, and their own methods are not asked.
module Wavecoder
  class Opaque < RuntimeError; end

  OUT = IO.for_fd(9, 'w')
  CLASS = Kernel.instance_method(:class)
  NAMED = { 0x22 => '\\"', 0x5c => '\\\\' }.freeze
  ITEMS = Array.instance_method(:each)
  PAIRS = Hash.instance_method(:each_pair)

  module_function

  def say(number, line)
    OUT.syswrite("#{ARGS[0]} #{number} #{line}\n")
  end

  def text(value)
    bytes = value.dup.force_encoding('UTF-8')
    unless bytes.valid_encoding?
      return '"' + value.bytes.map { |one| format(one > 127 ? '\\udc%02x' : '\\u%04x', one) }.join + '"'
    end
    made = bytes.codepoints.map do |one|
      next NAMED[one] if NAMED.key?(one)
      next format('\\u%04x', one) if one < 32
      one.chr('UTF-8')
    end
    '"' + made.join + '"'
  end

  def encode(value, depth = 0)
    raise Opaque, 'a value too deep' if depth > 60

    kind = CLASS.bind_call(value)
    if kind.equal?(NilClass) then 'null'
    elsif kind.equal?(TrueClass) then 'true'
    elsif kind.equal?(FalseClass) then 'false'
    elsif kind.equal?(Integer) then value.to_s
    elsif kind.equal?(Float) then float(value)
    elsif kind.equal?(String) then text(value)
    elsif kind.equal?(Symbol) then text(value.to_s)
    elsif kind.equal?(Array) then items(value, depth)
    elsif kind.equal?(Range) || kind.equal?(Enumerator) || kind.equal?(Enumerator::Lazy)
      items(value.first(2000), depth)
    elsif kind.equal?(Hash)
      made = []
      PAIRS.bind_call(value) { |key, one| made << "[#{encode(key, depth + 1)},#{encode(one, depth + 1)}]" }
      "{\"m\":[#{made.join(',')}]}"
    elsif kind.name == 'Set' then "{\"s\":#{items(value.to_a, depth)}}"
    else raise Opaque, "a value of the type #{kind}"
    end
  end

  def items(value, depth)
    made = []
    ITEMS.bind_call(value) { |one| made << encode(one, depth + 1) }
    "[#{made.join(',')}]"
  end

  def float(value)
    return 'NaN' if value.nan?
    return value.positive? ? 'Infinity' : '-Infinity' if value.infinite?

    value.to_s
  end

  def tried(value)
    encode(value)
  rescue Opaque
    nil
  end

  def words(error)
    "#{error.class}: #{error.message}".gsub(/\s+/, ' ')[0, 300].scrub
  end

  def called(target, given)
    before = given.map { |one| tried(one) }
    result = target.call(*given)
    line = encode(result)
    if result.nil?
      after = given.map { |one| tried(one) }
      line = "[#{after.join(',')}]" if after != before && !after.include?(nil)
    end
    line.length <= ARGS[1].to_i ? "V #{line}" : "O a value of #{line.length} characters"
  rescue Opaque => e
    "O #{e.message}"
  rescue SystemExit
    'C it ended its process'
  rescue Exception => e # of any kind, as it was the subject's
    "R #{words(e)}"
  end

  def main
    seconds = ARGS[2].to_f
    begin
      Object.class_eval { load './subject.rb' }
      target = find(ARGS[4])
    rescue Exception => e
      return say(-1, "F #{words(e)}")
    end
    lost = 0
    eval(File.read('calls.rb')).each do |number, given|
      next say(number, 'T it was not run: too many calls before it did not end') if lost >= ARGS[3].to_i

      pid = fork do
        Process.setrlimit(:CPU, seconds.ceil, seconds.ceil + 1)
        %i[XCPU ALRM].each { |one| Signal.trap(one, 'SYSTEM_DEFAULT') }
        say(number, called(target, given.call))
        exit!(77)
      end
      watch = Thread.new { sleep(3 * seconds + 1) && Process.kill(:ALRM, pid) }
      status = Process.wait2(pid)[1]
      watch.kill
      if status.signaled? && [14, 24].include?(status.termsig)
        lost += 1
        say(number, 'T it did not end')
      elsif status.exitstatus != 77
        say(number, "C #{status.signaled? ? 'signal' : 'exit status'} #{status.termsig || status.exitstatus}")
      end
    end
  end

  def find(name)
    place, _, method = name.rpartition('.')
    owner = place.empty? ? TOPLEVEL_BINDING.receiver : Object.const_get(place)
    owner.method(method)
  end
end
Wavecoder::ARGS = ARGV.dup.freeze
ARGV.clear
Wavecoder.main
exit!(0)
