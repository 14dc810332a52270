//~ E0277 use the function of the same name in `corio::typed`
pub struct App;

pub fn body() {
    let _ = corio::spawn(|| Err::<(), App>(App));
}
