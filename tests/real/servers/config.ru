# The application of the battery for Ruby's servers, by way of Rack.
require 'digest'
require 'json'

SEEN = Hash.new(0)

run(lambda do |env|
  case env['PATH_INFO']
  when '/early'
    [413, { 'Content-Type' => 'text/plain', 'Content-Length' => '6' }, ["early\n"]]
  when '/stream'
    [200, { 'Content-Type' => 'text/plain' }, ["one\n", "two\n", "three\n"]]
  else
    body = env['rack.input'].read || ''
    name = env['HTTP_X_ID'] || ''
    SEEN[name] += 1
    report = {
      method: env['REQUEST_METHOD'], path: env['PATH_INFO'], length: body.bytesize,
      sha256: Digest::SHA256.hexdigest(body), seen: SEEN[name]
    }
    answer = JSON.generate(report) + "\n"
    [200, { 'Content-Type' => 'application/json', 'Content-Length' => answer.bytesize.to_s }, [answer]]
  end
end)
