//! From a request to where it goes: who asks, which route takes it, whether it may, which pool and which session.
//!
//! Much is answered here: redirects, refusals, whatever routes say themselves.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, Version, header};
use pingora::Result;
use pingora_proxy::Session;

use super::answer::{refuse, respond, send_on};
use super::context::{Context, Origin};
use super::failure::Failure;
use super::request_id::RequestId;
use super::retry::fail;
use super::routes::{Action, Route, Routes};
use super::settle::settle;
use super::site::Site;
use super::target::Target;
use super::unfinished::Unfinished;
use super::{
    Shared, X_REQUEST_ID, acme, compression, destination, host, options, record, redirect,
    unchunked, variables,
};
use crate::dispatch::Binding;
use crate::persistence::RequestView;
use crate::routing::{Asked, Verdict, rewritten};

/// Finds out where a request goes. True: it has been answered.
///
/// # Errors
///
/// It can't be served, or the client doesn't take its answer.
pub async fn receive(
    shared: &Arc<Shared>,
    session: &mut Session,
    context: &mut Context,
) -> Result<bool> {
    if context.origin.is_none() {
        // HTTP/2 has no connection of its own to hand it over with.
        let extensions = session.req_header_mut().extensions_mut();
        context.origin = extensions.remove::<Origin>().map(Box::new);
    }
    let Some(origin) = &context.origin else {
        return Err(fail(context, Failure::Internal));
    };
    let site = Arc::clone(&origin.site);
    context.unfinished = Some(Unfinished::new(shared, session.req_header()));
    settle(session.req_header_mut());
    compression::prepare(session, site.http.compression.as_ref());
    let request = session.req_header();
    let peer = origin.connection.peer.ip().to_canonical();
    let client = site.resolver.client(peer, &request.headers);
    context.client = Some(client);
    let tls = origin.connection.tls.as_ref();
    context.https = site.resolver.https(client, &request.headers, tls.is_some());
    let server = site.http.server_header.as_ref();
    if acme::answer(&shared.challenges, session, server).await? {
        return Ok(true);
    }
    let request = session.req_header();
    let given = request
        .headers
        .get(X_REQUEST_ID)
        .filter(|_| client.trusted_peer)
        .and_then(RequestId::from_trusted);
    context.request_id = Some(given.unwrap_or_else(|| RequestId::random(&mut rand::rng())));
    if let Some(tls) = tls.filter(|tls| tls.strict_sni)
        && !host::agrees(tls.sni.as_deref(), request.raw_path(), &request.headers)
    {
        return Err(fail(context, Failure::Misdirected));
    }
    if let Some(port) = site.redirect_https {
        let location = redirect::location(request.raw_path(), &request.headers, port);
        let Some(location) = location else {
            return Err(fail(context, Failure::BadRequest));
        };
        // For good, method and body included (RFC 9110 section 15.4.9).
        send_on(session, context, 308, location).await?;
        return Ok(true);
    }
    if request.method == Method::TRACE && !site.http.trace {
        refuse(session, context, Failure::NoTrace).await?;
        return Ok(true);
    }
    if let Some(routes) = &site.routes {
        match find(routes, session, client.address) {
            Ok(way) => {
                context.route = way.route;
                context.taken = way.taken;
                context.uri = way.uri;
            }
            Err(failure) => return Err(fail(context, failure)),
        }
    }
    if let Some(route) = context.route.clone()
        && (stop(&route, client.address, session, context).await?
            || answer_by(&route, session, context).await?)
    {
        return Ok(true);
    }
    bind(&site, session, context, client.address).await;
    if context.target().is_none() {
        refuse(session, context, Failure::NoRoute).await?;
        return Ok(true);
    }
    match destination::of_server(session.req_header(), context) {
        Ok(destination) => context.destination = destination,
        Err(failure) => return Err(fail(context, failure)),
    }
    prepare(session, context)?;
    Ok(false)
}

/// Which way a request goes.
#[derive(Default)]
struct Way {
    route: Option<Arc<Route>>,
    taken: usize,
    uri: Option<Vec<u8>>,
}

/// The route that takes the request, and what its server is asked for.
fn find(routes: &Routes, session: &Session, client: IpAddr) -> Result<Way, Failure> {
    let request = session.req_header();
    let (path, query) = record::split_target(request.raw_path());
    // The asterisk is for the server as a whole, and no path (RFC 9110 section 9.3.7).
    let normal = if routes.normalizes() && path != b"*" {
        Some(routes.compared(path).map_err(Failure::BadPath)?)
    } else {
        None
    };
    let host = host::authority(request.raw_path(), &request.headers).map(host::without_port);
    let found = routes.find(&Asked {
        host,
        path: normal.as_ref().map_or(path, |normal| &normal.compared),
        query,
        method: &request.method,
        headers: &request.headers,
        client,
    });
    let (route, taken) = match found {
        Some((route, taken)) => (Some(route), taken),
        None => (None, 0),
    };
    let normal = match normal {
        Some(compared) => {
            let forwarded = routes.forwarded(path, compared, route.as_deref());
            Some(forwarded.map_err(Failure::BadPath)?)
        }
        None => None,
    };
    let rewrite = route
        .as_ref()
        .and_then(|route| Some((route.form, route.rewrite.path.as_ref()?)));
    let uri = match (&normal, rewrite) {
        (Some(normal), Some((form, rewrite))) => {
            Some(rewritten(rewrite, normal, form, taken, query).ok_or(Failure::BadRequest)?)
        }
        (Some(normal), None) if *normal.forwarded != *path => {
            let mut uri = normal.forwarded.to_vec();
            if let Some(query) = query {
                uri.push(b'?');
                uri.extend_from_slice(query);
            }
            Some(uri)
        }
        _ => None,
    };
    Ok(Way { route, taken, uri })
}

/// Stops a request that may not pass. True: it has been answered.
async fn stop(
    route: &Route,
    client: IpAddr,
    session: &mut Session,
    context: &mut Context,
) -> Result<bool> {
    if !route.admits(client) {
        refuse(session, context, Failure::Forbidden).await?;
        return Ok(true);
    }
    if let Some(limiter) = &route.limiter
        && let Err(wait) = limiter.take(client, &session.req_header().headers, Instant::now())
    {
        context.retry_after = Some(wait);
        refuse(session, context, Failure::TooManyRequests).await?;
        return Ok(true);
    }
    if let Some(passwords) = &route.passwords {
        let failure = match passwords.check(&session.req_header().headers).await {
            Verdict::Granted(_) => return Ok(false),
            Verdict::Denied => Failure::Unauthorized,
            Verdict::Busy => Failure::TooManyPasswords,
        };
        refuse(session, context, failure).await?;
        return Ok(true);
    }
    Ok(false)
}

/// Answers a request whose route does that itself. True: it has been answered.
async fn answer_by(route: &Route, session: &mut Session, context: &mut Context) -> Result<bool> {
    match &route.action {
        Action::Pool(_) | Action::Split(..) => Ok(false),
        Action::Redirect { status, to } => {
            let location = variables::location(to, session.req_header(), context);
            let Some(location) = location else {
                return Err(fail(context, Failure::BadRequest));
            };
            send_on(session, context, *status, location).await?;
            Ok(true)
        }
        Action::Respond {
            status, body: None, ..
        } if *status >= 400 => {
            refuse(session, context, Failure::Configured(*status)).await?;
            Ok(true)
        }
        Action::Respond {
            status,
            body,
            content_type,
        } => {
            respond(session, context, *status, body.clone(), content_type).await?;
            Ok(true)
        }
    }
}

/// Chooses the pool, and finds the session in it.
async fn bind(site: &Site, session: &Session, context: &mut Context, client: IpAddr) {
    let request = session.req_header();
    let (path, query) = record::split_target(request.raw_path());
    let view = RequestView {
        headers: &request.headers,
        path,
        query,
        client,
    };
    let route = context.route.clone();
    let target = match route.as_ref().map(|route| &route.action) {
        Some(Action::Pool(target)) => Some(target),
        Some(Action::Split(targets, turns)) => {
            if let Some((target, binding)) = bound(targets, &view).await {
                context.target = Some(target);
                context.binding = binding;
                return;
            }
            targets.get(turns.next())
        }
        Some(_) => None,
        None => site.target.as_ref(),
    };
    if let Some(target) = target {
        context.binding = Binding::read(&target.site, &view).await;
        context.target = Some(Arc::clone(target));
    }
}

/// The first of several pools that has a server for the request's session; one that takes requests if there is one.
async fn bound(targets: &[Arc<Target>], view: &RequestView<'_>) -> Option<(Arc<Target>, Binding)> {
    let mut first = None;
    for target in targets
        .iter()
        .filter(|target| target.site.affinity.is_some())
    {
        let binding = Binding::read(&target.site, view).await;
        if binding.is_open() {
            return Some((Arc::clone(target), binding));
        }
        if first.is_none() && binding.server().is_some() {
            first = Some((Arc::clone(target), binding));
        }
    }
    first
}

/// Makes the request one that the pool's servers can be asked.
fn prepare(session: &mut Session, context: &mut Context) -> Result<()> {
    let to_http2 = context.target().is_some_and(|target| target.link.http2());
    if session.req_header().version == Version::HTTP_10 {
        // HTTP/1.0 knows no interim responses and can't ask for one (RFC 9110 sections 10.1.1, 15.2).
        session.req_header_mut().remove_header(&header::EXPECT);
        session.as_downstream_mut().set_ignore_info_resp(true);
        if to_http2 {
            session.downstream_modules_ctx = unchunked::modules();
        }
    }
    let request = &session.req_header().headers;
    if to_http2 && options::wants_websocket(request) {
        return Err(fail(context, Failure::NoUpgrade));
    }
    Ok(())
}
