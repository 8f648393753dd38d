import { join } from 'node:path'
import { build, type Rollup } from 'vite'

const ROOT = join(import.meta.dirname, '..', '..')
const ENTRY = 'virtual:entry'

/** One script for a browser, made of a module that imports packages of this project. */
export async function bundleOf(code: string): Promise<string> {
  const output = (await build({
    root: ROOT,
    configFile: false,
    publicDir: false,
    logLevel: 'silent',
    build: {
      write: false,
      minify: false,
      rolldownOptions: { input: ENTRY, output: { codeSplitting: false } },
    },
    define: { 'process.env.NODE_ENV': '"production"' },
    plugins: [
      {
        name: 'entry',
        enforce: 'pre',
        resolveId: (id) => (id === ENTRY ? join(ROOT, 'entry.js') : undefined),
        load: (id) => (id === join(ROOT, 'entry.js') ? code : undefined),
      },
    ],
  })) as Rollup.RollupOutput
  const chunks = output.output
  const [script, another] = chunks.filter((chunk) => chunk.type === 'chunk')
  if (!script || another) throw new Error('the bundle is not one script')
  return script.code
}
