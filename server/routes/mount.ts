import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import { notFound, Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { spellingsOf } from '../http/routing.ts'
import type { Admit } from './access.ts'
import type { Body, Route } from './route.ts'

/**
 * Registers these routes with Express. No other file registers a handler of a path. A request is authorized, its body is
 * read if the route says so, path and query are parsed, and the handler is called.
 */
export function mount<S>(app: Express, routes: readonly Route<S>[], services: S, admit: Admit): void {
  for (const [path, ofPath] of Map.groupBy(routes, (route) => route.path)) {
    const at = app.route(spellingsOf(path))
    for (const route of ofPath) at[route.method](serve(route, services, admit))
    at.all(refuseMethod(ofPath, admit))
  }
}

function serve<S>(route: Route<S>, services: S, admit: Admit): RequestHandler {
  const reader = readerOf(route.body)
  return async function serveRoute(request, response) {
    const who = await admit(route, request, response, () => reader(request, response))
    const params = paramsOf(route, request)
    const query = route.query && readInput(route.query, request.query)
    await route.handle({ request, response, who, params, query }, services)
  }
}

/** The parsed parameters of the path. Fails with `not-found` for a malformed one. */
function paramsOf<S>({ params = {} }: Route<S>, request: Request): Record<string, unknown> {
  const parsed: Record<string, unknown> = {}
  for (const [name, param] of Object.entries(params)) {
    parsed[name] = param.parse(String(request.params[name]))
    if (parsed[name] === undefined) throw notFound()
  }
  return parsed
}

/** Reads the body, unless the handler does. */
function readerOf(body: Body | undefined): (request: Request, response: Response) => Promise<void> {
  if (!body?.read) return async () => {}
  const { as, maxBytes } = body.read
  const parse =
    as === 'json' ? express.json({ limit: maxBytes }) : express.raw({ type: () => true, limit: maxBytes })
  return (request, response) =>
    new Promise((resolve, reject) => {
      parse(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)))
    })
}

/** Refuses other methods with 405 where the path has OPTIONS, and answers OPTIONS of public paths. All else is 404. */
function refuseMethod<S>(routes: readonly Route<S>[], admit: Admit): RequestHandler {
  const methods = new Set(routes.map(({ method }) => method.toUpperCase()))
  if (methods.has('GET')) methods.add('HEAD')
  const allow = [...methods].join(', ')
  const headers = routes.find((route) => route.refusesOthers)?.refusesOthers
  const isPublic = routes.every(({ access }) => access === 'public')
  const [first] = routes
  return async function refuseOtherMethod(request, response, next) {
    if (isPublic && request.method === 'OPTIONS') return void response.set('Allow', allow).send(allow)
    if (!headers || !first) return next()
    await admit({ access: 'token', path: first.path }, request, response, async () => {})
    throw new Problem(
      'method-not-allowed',
      `The method ${request.method} is not allowed for this resource.`,
      { headers: { ...headers, Allow: allow } },
    )
  }
}
