/** Runs a server program that is not of Node: tells the bench its process, and ends it when asked or with the bench. */
import { spawn } from 'node:child_process'

const [program = '', ...args] = process.argv.slice(2)
// The bench reads the output, and shows only why the program ended: there is a warning for each request.
const child = spawn(program, args, { stdio: ['ignore', 'inherit', process.stdout.fd] })
child.once('spawn', () => process.send?.(child.pid))
child.once('error', (error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
child.once('exit', (code) => process.exit(code ?? 1))
// It has nothing to save, and its files are the bench's to remove.
const end = () => child.kill('SIGKILL')
process.once('disconnect', end)
process.once('SIGTERM', end)
