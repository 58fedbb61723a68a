# Builds gems and the index that RubyGems itself makes of them, as `gem build` and `gem generate_index` do it, in one process.
# Standard input: JSON, a list of {name, version, platform, needs: {name: [requirement]}, ruby, files: {path: text}}. First argument: an
# empty folder. Standard output: JSON, what each of them says to a compact index.
require 'digest'
require 'fileutils'
require 'json'
require 'rubygems/indexer'
require 'rubygems/package'

wanted = JSON.parse($stdin.read)
Dir.chdir(ARGV.fetch(0))
FileUtils.mkdir_p('gems')
ENV['SOURCE_DATE_EPOCH'] = '1704067200'

built = Gem::DefaultUserInteraction.use_ui(Gem::SilentUI.new) do
  list = wanted.map do |one|
    spec = Gem::Specification.new do |s|
      s.name = one['name']
      s.version = one['version']
      s.platform = one['platform'] if one['platform']
      s.summary = "The gem #{one['name']}"
      s.authors = ['Larder']
      s.license = 'MIT'
      s.homepage = 'https://example.com'
      s.required_ruby_version = one['ruby'] if one['ruby']
      (one['needs'] || {}).each { |name, requirements| s.add_dependency(name, *requirements) }
      s.add_development_dependency('never-needed', '>= 9')
      s.files = (one['files'] || {}).keys
    end
    Dir.mktmpdir do |folder|
      Dir.chdir(folder) do
        (one['files'] || {}).each do |path, text|
          FileUtils.mkdir_p(File.dirname(path))
          File.write(path, text)
        end
        Gem::Package.build(spec, true, false, spec.file_name)
      end
      FileUtils.mv(File.join(folder, spec.file_name), 'gems')
    end
    clauses = ->(requirement) { requirement.requirements.map { |operator, version| "#{operator} #{version}" }.sort.join('&') }
    {
      full: spec.full_name,
      name: spec.name,
      version: spec.version.to_s,
      platform: spec.platform.to_s,
      prerelease: spec.version.prerelease?,
      needs: spec.runtime_dependencies.sort_by(&:name).map { |one| "#{one.name}:#{clauses.call(one.requirement)}" }.join(','),
      ruby: clauses.call(spec.required_ruby_version),
      sha256: Digest::SHA256.file("gems/#{spec.file_name}").hexdigest
    }
  end
  Gem::Indexer.new(Dir.pwd).generate_index
  list
end
puts JSON.generate(built)
