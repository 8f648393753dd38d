import type { Request, Response } from 'express'
import type { z } from 'zod'
import type { ShownLink } from '../auth/content-links.ts'
import type { Principal } from '../auth/principal.ts'
import type { Param } from './param.ts'

/** Who may ask, as `access.ts` checks it. */
export type Access =
  | 'public'
  /** A development client with the code of this start; for others the route does not exist. */
  | 'dev-code'
  | 'token'
  /** A token, or an upload ticket as the bearer. */
  | 'token-or-upload-ticket'
  /** A token with the scope `service` or `admin`. */
  | 'service'
  /** A stream ticket in the query takes the place of a token. */
  | 'token-or-ticket'
  /** A signed link to the last part of the path takes the place of a token. */
  | 'token-or-link'
  | 'link'
  /** A token with the scope `service`, or a body that the analysis engine has signed. */
  | 'service-or-signature'

/** The principal of a request; undefined for the public, a link or a signature. */
export type Who<A extends Access> = A extends
  | 'token'
  | 'token-or-upload-ticket'
  | 'service'
  | 'token-or-ticket'
  ? Principal
  : A extends 'token-or-link' | 'service-or-signature'
    ? Principal | undefined
    : undefined

export type Params = Readonly<Record<string, Param>>
type ParsedParams<P extends Params> = { [Name in keyof P]: P[Name] extends Param<infer T> ? T : never }
type Query = z.ZodObject | undefined
type ParsedQuery<Q extends Query> = Q extends z.ZodObject ? z.output<Q> : undefined

/** An authorized request, with its parsed path and query. */
export type Call<A extends Access = Access, P extends Params = Params, Q extends Query = Query> = {
  request: Request
  response: Response
  who: Who<A>
  /** The signed link in place of a token, not yet known to be revoked or not. */
  link: ShownLink | undefined
  params: ParsedParams<P>
  query: ParsedQuery<Q>
}

/** A header that a request has or may have, for OpenAPI. Requests of tests carry the examples. */
export type RequestHeader = { name: string; description: string; example?: string }

export type Body = {
  /** Media types. */
  types: readonly string[]
  schema?: z.ZodType
  /** Read into `request.body` before the handler runs; otherwise the handler may read it. */
  read?: { as: 'json' | 'bytes'; maxBytes: number }
}

export type Answer = { description: string; types?: readonly string[]; schema?: z.ZodType }

/**
 * A route, declared once: the server, OpenAPI, the metrics label, the table in docs/api.md and the authorization tests
 * are derived from it. `S`: the services that its handler needs.
 */
export type Route<S, A extends Access = Access, P extends Params = Params, Q extends Query = Query> = {
  method: 'get' | 'head' | 'post' | 'patch' | 'delete' | 'options'
  /** As Express writes it, such as `/files/:id`; also the label of its metrics. */
  path: `/${string}`
  access: A
  params?: P
  query?: Q
  /** Names of further parameters, which the handler reads. */
  moreParameters?: RegExp
  headers?: readonly RequestHeader[]
  body?: Body
  /** By status. Every route may also answer with a problem. */
  answers: Readonly<Record<number, Answer>>
  /** A sentence without its full stop. */
  summary: string
  /** More sentences, in Markdown. */
  description?: string
  /** A GET that begins something, as a client has it: no HEAD is served by it. */
  isAct?: boolean
  /** Not in OpenAPI. */
  isUnlisted?: boolean
  /** Whether this server has it; it does by default. */
  isServed?(services: S): boolean
  /** Only there where the target of a request is a path alone, which is how proxies compare it. */
  isForOriginForm?: boolean
  /** Headers of the 405 that any other method of the path is answered with. */
  refusesOthers?: Readonly<Record<string, string>>
  /** Answers the request, or throws. */
  handle(call: Call<A, P, Q>, services: S): Promise<void> | void
}

/** Declares a route. The types of the call follow from what is declared. */
export const route = <
  S,
  A extends Access,
  P extends Params = Record<never, never>,
  Q extends Query = undefined,
>(
  method: Route<S>['method'],
  path: Route<S>['path'],
  access: A,
  declared: Omit<Route<S, A, P, Q>, 'method' | 'path' | 'access'>,
): Route<S> => ({ ...declared, method, path, access }) satisfies Route<S, A, P, Q>
