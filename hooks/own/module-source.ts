import { pathToFileURL } from 'node:url'
import type { PreCreateDecision } from './answers.ts'
import type { HookName, HookSource } from './own-hooks.ts'
import type { PreCreateQuestion } from './questions.ts'

/** What a module of hooks may know beside the question. `signal` is aborted when its time is over. */
export type HookContext = { signal: AbortSignal }

/** The hooks of an application, as the default export of the module that `HOOKS` names. */
export type Hooks = {
  /** Asked before an upload is created. */
  preCreate?(
    question: PreCreateQuestion,
    context: HookContext,
  ): Promise<PreCreateInput | undefined> | PreCreateInput | undefined
}

type PreCreateInput = Omit<PreCreateDecision, 'refuse'> & { refuse?: { status?: number; message: string } }

const MEMBERS: Record<HookName, keyof Hooks> = { 'pre-create': 'preCreate' }

/** Loads a module of hooks. Fails with a sentence where it cannot be loaded, or exports something else. */
export async function moduleSource(path: string): Promise<HookSource> {
  const hooks = hooksIn(path, await load(path))
  return {
    name: 'HOOKS',
    async ask(hook, _id, question, signal) {
      const ask = hooks[MEMBERS[hook]]
      // A hook that changes what it was given changes nothing of ours.
      return await ask?.call(hooks, structuredClone(question) as PreCreateQuestion, { signal })
    },
  }
}

async function load(path: string): Promise<unknown> {
  try {
    return ((await import(pathToFileURL(path).href)) as { default?: unknown }).default
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`the module of hooks ${path} could not be loaded: ${why}`, { cause: error })
  }
}

function hooksIn(path: string, value: unknown): Hooks {
  const names: readonly string[] = Object.values(MEMBERS)
  const what = (fault: string) => new Error(`the module of hooks ${path} ${fault}`)
  if (typeof value !== 'object' || value === null) throw what('has no default export with hooks')
  for (const [name, member] of Object.entries(value)) {
    if (!names.includes(name)) throw what(`has "${name}", which is none of ${names.join(', ')}`)
    if (typeof member !== 'function') throw what(`has "${name}", which is no function`)
  }
  return value as Hooks
}
