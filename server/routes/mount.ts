import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import { notFound, Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { isOriginForm, spellingsOf } from '../http/routing.ts'
import type { Admit } from './access.ts'
import { queryCheck } from './query.ts'
import type { Access, Body, Route } from './route.ts'

/**
 * Registers these routes with Express. No other file registers a handler of a path. A request is authorized, its body is
 * read if the route says so, path and query are parsed, and the handler is called.
 */
export function mount<S>(app: Express, routes: readonly Route<S>[], services: S, admit: Admit): void {
  for (const [path, ofPath] of Map.groupBy(routes, (route) => route.path)) {
    const at = app.route(spellingsOf(path))
    const allow = methodsOf(ofPath)
    const refuseOthers = answerOthers(path, ofPath, allow, admit)
    for (const route of ofPath) {
      if (route.method === 'options') at.options(tellMethods(allow))
      // Express would serve it by the handler of GET.
      if (route.isAct) at.head(refuseOthers)
      at[route.method](serve(route, services, admit))
    }
    at.all(refuseOthers)
  }
}

function serve<S>(route: Route<S>, services: S, admit: Admit): RequestHandler {
  const reader = readerOf(route.body)
  const checkQuery = queryCheck(route)
  return async function serveRoute(request, response) {
    checkForm([route], request)
    const { who, link } = await admit(route, request, response, async () => {
      checkQuery(request)
      await reader(request, response)
    })
    const params = paramsOf(route, request)
    const query = route.query && readInput(route.query, request.query)
    await route.handle({ request, response, who, link, params, query }, services)
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
      if (as === 'json') checkJson(request)
      parse(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)))
    })
}

/** A body of another type is not read as none, as if nothing was asked for. Fails with `unsupported-content-type`. */
function checkJson(request: Request): void {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers
  const isEmpty = coding === undefined && Number(length) === 0
  if (!isEmpty && !request.is('application/json'))
    throw new Problem('unsupported-content-type', 'The body is to be application/json.')
}

/** In this order in `Allow`. */
const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE', 'OPTIONS']

/** What `Allow` says of these routes of one path. */
function methodsOf<S>(routes: readonly Route<S>[]): string {
  const methods = new Set(routes.map(({ method }) => method.toUpperCase())).add('OPTIONS')
  if (routes.some(({ method, isAct }) => method === 'get' && !isAct)) methods.add('HEAD')
  return METHODS.filter((method) => methods.has(method)).join(', ')
}

const tellMethods = (allow: string): RequestHandler =>
  function tellMethodsOfPath(_request, response, next) {
    response.set('Allow', allow)
    next()
  }

/** Answers OPTIONS of a path with its methods, and refuses all others with 405, once access is granted. */
function answerOthers<S>(
  path: string,
  routes: readonly Route<S>[],
  allow: string,
  admit: Admit,
): RequestHandler {
  const headers = routes.find((route) => route.refusesOthers)?.refusesOthers
  const access = accessOfOthers(routes)
  return async function answerOtherMethod(request, response) {
    checkForm(routes, request)
    // A preflight carries no token. What only some may know of stays unknown to all others.
    if (request.method === 'OPTIONS' && access !== 'dev-code')
      return void response.status(204).set('Allow', allow).end()
    await admit({ access, path }, request, response, async () => {})
    throw new Problem(
      'method-not-allowed',
      `The method ${request.method} is not allowed for this resource, which has ${allow}.`,
      { headers: { ...headers, Allow: allow } },
    )
  }
}

/** Who is told which methods a path has: the clients that may use one of them, also without the scope that it asks for. */
function accessOfOthers<S>(routes: readonly Route<S>[]): Access {
  const all = routes.map(({ access }) => access)
  if (all.every((access) => access === 'public')) return 'public'
  const [access = 'token'] = all.filter((one) => one !== 'public')
  return access === 'service' || access === 'service-or-signature' || access === 'link' ? 'token' : access
}

/** Fails with `not-found` where routes are there only for targets that are a path alone. */
function checkForm<S>(routes: readonly Route<S>[], request: Request): void {
  if (routes.some((route) => route.isForOriginForm) && !isOriginForm(request)) throw notFound()
}
