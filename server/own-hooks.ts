import { resolve } from 'node:path'
import { httpSource } from '../hooks/own/http-source.ts'
import { moduleSource } from '../hooks/own/module-source.ts'
import { OwnHooks } from '../hooks/own/own-hooks.ts'
import type { Config } from './config.ts'

/** The hooks that the operator has configured; undefined where there are none. Fails where a module cannot be loaded. */
export async function openHooks(
  { HOOK_URL, HOOK_SECRET = [], HOOKS, HOOK_TIMEOUT, HOOK_UNAVAILABLE }: Config,
  logError: (about: object, message: string) => void,
): Promise<OwnHooks | undefined> {
  const sources = [
    ...(HOOK_URL === undefined
      ? []
      : [httpSource({ url: HOOK_URL, secrets: HOOK_SECRET, timeoutMs: HOOK_TIMEOUT })]),
    ...(HOOKS === undefined ? [] : [await moduleSource(resolve(HOOKS))]),
  ]
  if (sources.length === 0) return undefined
  return new OwnHooks({
    sources,
    timeoutMs: HOOK_TIMEOUT,
    whenUnavailable: HOOK_UNAVAILABLE,
    onFailure: (err, about) => logError({ err, ...about }, 'a hook could not be asked'),
  })
}
