// Bundles the GraphiQL page into a few gzipped static files: `node build.mjs [OUTPUT_FOLDER]`.
// Nothing is fetched at run time: editor workers, fonts and styles are files beside the script.
import { build } from 'esbuild';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const out = process.argv[2] ?? 'dist';
const shared = {
  bundle: true,
  define: { 'process.env.NODE_ENV': '"production"' },
  entryNames: '[name]-[hash]',
  legalComments: 'none', // the licences are gathered whole, below
  loader: { '.ttf': 'file', '.woff': 'file', '.woff2': 'file' },
  logLevel: 'warning',
  metafile: true,
  minify: true,
  outdir: out,
  target: 'es2022',
  write: false,
};

const workers = await build({
  ...shared,
  entryPoints: {
    editor: 'monaco-editor/esm/vs/editor/editor.worker.js',
    graphql: 'monaco-graphql/esm/graphql.worker.js',
    json: 'monaco-editor/esm/vs/language/json/json.worker.js',
  },
  format: 'iife',
});
const workerFiles = Object.fromEntries(
  workers.outputFiles.map(({ path }) => [basename(path).split('-')[0], `./${basename(path)}`]),
);

const page = await build({
  ...shared,
  assetNames: '[name]-[hash]',
  define: { ...shared.define, WORKER_FILES: JSON.stringify(workerFiles) },
  entryPoints: { main: 'src/main.js' },
  format: 'esm',
});

rmSync(out, { force: true, recursive: true });
mkdirSync(out, { recursive: true });
for (const { path, contents } of [...workers.outputFiles, ...page.outputFiles]) {
  writeFileSync(join(out, `${basename(path)}.gz`), gzipSync(contents, { level: 9 }));
}
const licenses = gatherLicenses([workers.metafile, page.metafile]);
writeFileSync(join(out, 'licenses.txt.gz'), gzipSync(licenses, { level: 9 }));

// The licence text of every package that has a byte in the bundle.
function gatherLicenses(metafiles) {
  const folders = new Set();
  for (const { outputs } of metafiles) {
    for (const { inputs } of Object.values(outputs)) {
      for (const path of Object.keys(inputs)) {
        const folder = path.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0];
        if (folder) folders.add(folder);
      }
    }
  }
  return [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|thirdparty)/i.test(file));
    const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
    return `${name} ${version} (${license})\n\n${texts.join('\n\n')}\n`;
  }).join(`\n${'-'.repeat(80)}\n\n`);
}
